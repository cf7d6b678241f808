"""Interrupts (Ctrl-C) that come while a process starts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Interrupts of this thread wait for the end of the block, and those of a process that it starts for its word.

    That is `interrupts_come`. Before, an interrupt would end the start of Python in a traceback, and Paddle makes an
    ImportError of one that comes while it is imported.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def interrupts_come() -> None:
    """Lets interrupts in.

    Raises:
        KeyboardInterrupt: one was waiting.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
