"""Galleries that are made aside, each by a thread of its own, while others are searched."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from toonface_contract.errors import Unavailable
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.snapshot import GalleryKey

_LOG = logging.getLogger(__name__)

# After a failure, before the next try.
_RETRY_SECONDS: Final = 5.0

# Of a thread that builds an index, so that searches and changes go first (setpriority(2); Linux has it per thread).
_NICENESS: Final = 10


class GalleryJobs:
    """The threads that make galleries, at most one for each.

    Attributes:
        beside_searches: whether there are searches, which go first.
    """

    def __init__(self, arrived: Callable[[LoadedGallery], None], stopping: threading.Event) -> None:
        """Prepare.

        Args:
            arrived: called with each gallery that was made, on the thread that made it. If it raises, the job failed.
            stopping: once it is set, failures are not logged any more.
        """
        self.beside_searches = False
        self._arrived = arrived
        self._stopping = stopping
        # By the ids of galleries.
        self._threads: dict[int, threading.Thread] = {}
        self._failures: dict[int, tuple[float, Exception]] = {}

    @property
    def failures(self) -> list[Exception]:
        """Why galleries could not be made that have not been made since."""
        return [error for _, error in self._failures.values()]

    def busy(self, key: GalleryKey) -> bool:
        """Whether a gallery is being made, or could not be a moment ago."""
        failed_at, _ = self._failures.get(key.id, (-_RETRY_SECONDS, None))
        return key.id in self._threads or time.monotonic() - failed_at < _RETRY_SECONDS

    def begin(self, key: GalleryKey, make: Callable[[GalleryKey, int], LoadedGallery]) -> None:
        """Let a gallery that is not being made be made by `make`, which is told how many threads it may take."""
        thread = threading.Thread(target=self._run, args=(key, make), name=f"gallery-{key.id}", daemon=True)
        self._threads[key.id] = thread
        thread.start()

    def join(self, seconds: float | None = None) -> None:
        """Wait for each that is being made, so long at most."""
        for thread in list(self._threads.values()):
            thread.join(seconds)

    def join_one(self, gallery_id: int, seconds: float) -> None:
        """Wait for one gallery, if it is being made, so long at most."""
        if (thread := self._threads.get(gallery_id)) is not None:
            thread.join(seconds)

    def _run(self, key: GalleryKey, make: Callable[[GalleryKey, int], LoadedGallery]) -> None:
        threads = os.cpu_count() or 1
        if self.beside_searches:
            threads = max(1, threads // 2)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            self._arrived(make(key, threads))
            self._failures.pop(key.id, None)
        except Exception as error:  # whatever it is, it is tried again
            if key.id not in self._failures and not self._stopping.is_set():
                _LOG.error(
                    "gallery %r cannot be loaded: %s", key.name, error, exc_info=not isinstance(error, Unavailable)
                )
            self._failures[key.id] = (time.monotonic(), error)
        finally:
            del self._threads[key.id]
