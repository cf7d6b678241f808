"""Replaces annotation files, and keeps what they were."""

from __future__ import annotations

from pathlib import Path

from toonface_training.dataset.jobs import write_atomically


def replace_keeping(path: Path, text: str) -> Path | None:
    """Write a file; what it was is kept beside it as `.bak`, as PaddleX does, or `.bak2`, ... if there is one already.

    Returns:
        The kept file; None where there was nothing to keep.
    """
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.bak")
        number = 1
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.name}.bak{number}")
        path.replace(kept)
    write_atomically(path, text)
    return kept
