"""Text files that are there as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a text file that is there as a whole or not at all; one of that name is replaced at once.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    temporary = write_beside(path, text)
    try:
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_beside(path: Path, text: str) -> Path:
    """Write a text file under a passing name in the folder of `path`; of one that cannot be written, nothing is left.

    Returns:
        The file, which a rename puts in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary
