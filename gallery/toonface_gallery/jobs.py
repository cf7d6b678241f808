"""What takes long for a gallery, done by a thread of its own: making one aside, and saving one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from toonface_contract.errors import Unavailable
from toonface_gallery.snapshot import GalleryKey

_LOG = logging.getLogger(__name__)

# After a failure, before the next try.
_RETRY_SECONDS: Final = 5.0

# Of a thread that builds an index, so that searches and changes go first (setpriority(2); Linux has it per thread).
_NICENESS: Final = 10


class GalleryJobs:
    """The threads that make and save galleries, at most one for each.

    Attributes:
        beside_searches: whether there are searches, which go first.
    """

    def __init__(self, stopping: threading.Event) -> None:
        """Prepare. Once `stopping` is set, failures are not logged any more."""
        self.beside_searches = False
        self._stopping = stopping
        # By the ids of galleries; with the time when the thread or the failure began.
        self._threads: dict[int, tuple[float, threading.Thread]] = {}
        self._failures: dict[int, tuple[float, Exception]] = {}

    @property
    def failures(self) -> list[Exception]:
        """Why jobs failed that have not been done since."""
        return [error for _, error in self._failures.values()]

    def busy(self, key: GalleryKey) -> bool:
        """Whether a gallery has a job, or had one that failed a moment ago."""
        failed_at, _ = self._failures.get(key.id, (-_RETRY_SECONDS, None))
        return key.id in self._threads or time.monotonic() - failed_at < _RETRY_SECONDS

    def begin(self, key: GalleryKey, done: str, job: Callable[[int], None], *, urgent: bool = False) -> None:
        """Do something for a gallery that has no job, on a new thread.

        Args:
            key: the gallery.
            done: to it, as a participle, for the log.
            job: what to do; it is told how many threads it may take.
            urgent: something waits for it, so that it goes beside searches and not after them.
        """
        thread = threading.Thread(
            target=self._run, args=(key, done, job, urgent), name=f"gallery-{key.id}", daemon=True
        )
        self._threads[key.id] = (time.monotonic(), thread)
        thread.start()

    def join(self, seconds: float | None = None) -> None:
        """Wait for each job, so long at most."""
        for _, thread in list(self._threads.values()):
            thread.join(seconds)

    def join_one(self, key: GalleryKey, seconds: float) -> None:
        """Wait for the job of one gallery, if it has one, until that has taken so long: not at all when it has."""
        if (running := self._threads.get(key.id)) is not None:
            began, thread = running
            thread.join(max(0, began + seconds - time.monotonic()))

    def _run(self, key: GalleryKey, done: str, job: Callable[[int], None], urgent: bool) -> None:
        threads = os.cpu_count() or 1
        if self.beside_searches and not urgent:
            threads = max(1, threads // 2)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            job(threads)
            self._failures.pop(key.id, None)
        except Exception as error:  # whatever it is, it is tried again
            if key.id not in self._failures and not self._stopping.is_set():
                _LOG.error(
                    "gallery %r cannot be %s: %s", key.name, done, error, exc_info=not isinstance(error, Unavailable)
                )
            self._failures[key.id] = (time.monotonic(), error)
        finally:
            del self._threads[key.id]
