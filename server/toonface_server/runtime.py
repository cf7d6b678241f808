"""The temporary folder of one running server, and clearing up after servers that were killed.

The folder is locked while anything of the server lives: the lock is an open file that tritonserver and its stages
inherit. A folder whose lock is free belongs to nobody any more, nor do the shared-memory regions named after it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Linux keeps POSIX shared memory)

_PREFIX = "toonface-serve-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One server's temporary folder.

    Attributes:
        folder: private to this server, removed at its end.
        lock: descriptor of the lock file; every process that inherits it keeps the folder from being cleared.
    """

    folder: Path
    lock: int

    @property
    def region_prefix(self) -> str:
        """What the names of this server's shared-memory regions start with."""
        return f"{self.folder.name}-"


@contextmanager
def runtime_folder() -> Iterator[Runtime]:
    """A fresh runtime folder for the life of the context. First, what killed servers left behind is cleared."""
    _clear_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    unlocked = folder / "unlocked"
    lock = os.open(unlocked, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # Locked before it gets the name by which others look for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        unlocked.rename(folder / _LOCK)
        yield Runtime(folder, lock)
    finally:
        remove_regions(f"{folder.name}-")
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_regions(prefix: str) -> None:
    """Remove the shared-memory regions whose names start so. A killed server leaves its own behind."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _clear_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or one that is being made or removed just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_regions(f"{folder.name}-")
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(lock)
