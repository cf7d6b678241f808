"""Something that is done again and again, beside everything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Repeated:
    """Does something at once and then every so many seconds, in a thread of its own, until it is closed.

    Whatever goes wrong, it is tried again the next time; the log tells of the first failure, and when they have ended.
    """

    def __init__(self, task: Callable[[], None], seconds: float, failing: str) -> None:
        """Begin.

        Args:
            task: what to do.
            seconds: between two times.
            failing: what it means that it fails, for the log.
        """
        self._task = task
        self._seconds = seconds
        self._failing = failing
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="repeated", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Do it no more, and wait until it is not being done."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        failed = False
        while True:
            try:
                self._task()
            except Exception:  # whatever it is, what goes on beside it must go on
                if not failed:
                    _LOG.exception("%s; this is tried again every %g s", self._failing, self._seconds)
                failed = True
            else:
                if failed:
                    _LOG.warning("no longer: %s", self._failing)
                failed = False
            if self._closing.wait(self._seconds):
                return
