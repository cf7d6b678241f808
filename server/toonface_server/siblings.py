"""Whether another instance of a model, in another process, computes at the moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Siblings:
    """The instances that serve one model file; each knows of the others by locks on that file.

    It is a hint for the choice of threads: of two that begin at the same time, both may be told that they are alone.
    The system lets go of the lock of a process that dies. For one caller at a time.

    Args:
        file: the model file, which all instances read.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def computing(self) -> Iterator[bool]:
        """To be held while this instance computes; yields whether no other one does."""
        try:
            alone = self._begin()
        except OSError:  # a file system without such locks
            yield False
            return
        try:
            yield alone
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _begin(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        else:
            alone = True
        # Waits for no more than the moment in which another one looks.
        fcntl.flock(self._file, fcntl.LOCK_SH)
        return alone
