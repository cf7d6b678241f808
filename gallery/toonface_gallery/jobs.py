"""What takes long for a gallery, done by a thread of its own: making one aside, and saving one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Set
from typing import Final

from toonface_contract.errors import Unavailable
from toonface_gallery.retries import Retries
from toonface_gallery.snapshot import GalleryKey

_LOG = logging.getLogger(__name__)

# Of a thread that builds or saves an index, so that searches and changes go first (setpriority(2); Linux has it per
# thread).
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
        # By the ids of galleries: when the job began, and what is set when it has ended.
        self._running: dict[int, tuple[float, threading.Event]] = {}
        self._retries = Retries()

    def failure(self, key: GalleryKey) -> str | None:
        """Why the last job of a gallery failed, if it did."""
        return self._retries.reason(key.id)

    def busy(self, key: GalleryKey) -> bool:
        """Whether a gallery has a job, or had one that failed a moment ago."""
        return key.id in self._running or self._retries.waits(key.id)

    def forget_all_but(self, galleries: Set[int]) -> None:
        """Forget the failures of galleries that are gone."""
        self._retries.forget_all_but(galleries)

    def begin(self, key: GalleryKey, done: str, job: Callable[[int], None]) -> bool:
        """Do something for a gallery that has no job, on a new thread.

        Args:
            key: the gallery.
            done: to it, as a participle, for the log.
            job: what to do; it is told how many threads it may take.

        Returns:
            Whether it has begun. If the system gives no thread, it has failed, as if it had begun.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(key, done, job, ended), name=f"gallery-{key.id}", daemon=True)
        # Others may wait for it from here on, which a thread that is not started yet does not allow.
        self._running[key.id] = (time.monotonic(), ended)
        try:
            thread.start()
        except Exception as error:  # whatever it is, it is tried again
            self._failed(key, done, error)
            self._ended(key, ended)
            return False
        return True

    def join(self, seconds: float | None = None) -> None:
        """Wait for each job, so long at most."""
        for _, ended in list(self._running.values()):
            ended.wait(seconds)

    def join_one(self, key: GalleryKey, seconds: float) -> None:
        """Wait for the job of one gallery, if it has one, until that has taken so long: not at all when it has."""
        if (running := self._running.get(key.id)) is not None:
            began, ended = running
            ended.wait(max(0, began + seconds - time.monotonic()))

    def _run(self, key: GalleryKey, done: str, job: Callable[[int], None], ended: threading.Event) -> None:
        threads = os.cpu_count() or 1
        if self.beside_searches:
            threads = max(1, threads // 2)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            job(threads)
            self._retries.succeeded(key.id)
        except Exception as error:  # whatever it is, it is tried again
            self._failed(key, done, error)
        finally:
            self._ended(key, ended)

    def _failed(self, key: GalleryKey, done: str, error: Exception) -> None:
        if self._retries.failed(key.id, error) and not self._stopping.is_set():
            _LOG.error(
                "gallery %r cannot be %s: %s", key.name, done, error, exc_info=not isinstance(error, Unavailable)
            )

    def _ended(self, key: GalleryKey, ended: threading.Event) -> None:
        del self._running[key.id]
        ended.set()
