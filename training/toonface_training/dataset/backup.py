"""Replaces annotation files, and keeps what they were."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from toonface_training.whole_files import write_beside


def replace_keeping(texts: Mapping[Path, str]) -> list[Path]:
    """Write files that belong together; what they were is kept beside them.

    It is kept as `.bak`, as PaddleX does, or `.bak2`, ... if there is one already. Nothing takes its place before all
    is written: a full disk, or a folder that is read-only, leaves the files as they were.

    Args:
        texts: of each file.

    Returns:
        The kept files, those of which there was something to keep.

    Raises:
        OSError: something cannot be written; what was written is removed again.
    """
    temporaries: dict[Path, Path] = {}
    kept: list[Path] = []
    with ExitStack() as undo:
        for path, text in texts.items():
            temporaries[path] = write_beside(path, text)
            undo.callback(partial(temporaries[path].unlink, missing_ok=True))
        for path in texts:
            if path.exists():
                kept.append(_free_name(path))
                undo.callback(partial(kept[-1].unlink, missing_ok=True))
                shutil.copy2(path, kept[-1])
        undo.pop_all()
    for path, temporary in temporaries.items():
        temporary.replace(path)
    return kept


def _free_name(path: Path) -> Path:
    kept = path.with_name(f"{path.name}.bak")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.bak{number}")
    return kept
