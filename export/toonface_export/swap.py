"""Put a finished folder in the place of an old one, in one step of the file system."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

# <fcntl.h> and <linux/fs.h>; renameat2 is in glibc since 2.28.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def replace_folder(new: Path, target: Path) -> None:
    """Make the folder `new` the folder `target`.

    At every moment `target` is either the old folder or the new one. Only on file systems that cannot exchange two
    names (NFS among them) is it absent for the time between two renames.

    Args:
        new: in a folder of the caller's own, on the same file system as `target`. What stood at `target` is in that
            folder afterwards, for the caller to remove.
        target: may be absent.

    Raises:
        OSError: the file system refuses; `target` is then what it was.
    """
    if not target.exists():
        new.rename(target)
        return
    if _exchange(new, target):
        return
    old = new.with_name(new.name + ".old")
    try:
        target.rename(old)
        new.rename(target)
    except BaseException:  # a signal may end this as well
        if old.exists() and not target.exists():
            old.rename(target)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names. False if the file system cannot."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
        return False
    if code == errno.EBUSY:
        raise OSError(code, "it is a mount point, whose place no other folder can take", str(other))
    raise OSError(code, os.strerror(code), str(other))
