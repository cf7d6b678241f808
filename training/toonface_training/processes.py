"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import ctypes
import signal

# linux/prctl.h: the signal that this process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Let the kernel end this process when its parent is gone, however that came about."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
