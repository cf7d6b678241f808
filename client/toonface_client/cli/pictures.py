"""Pictures on disk: finding them, and where to save what is drawn into them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toonface_contract.errors import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """A picture, and its path within what was asked for: below a folder, or its own name."""

    path: Path
    relative: Path


def find_pictures(paths: Iterable[Path], *, leave_out: Path | None = None) -> list[FoundPicture]:
    """The given files, whatever their names, and the pictures in the given folders, sorted by their paths.

    Hidden files and folders are passed over.

    Args:
        paths: files and folders that exist.
        leave_out: a folder not to search, such as that of earlier results.

    Raises:
        ConfigError: a folder holds no picture.
    """
    found: list[FoundPicture] = []
    for path in paths:
        if not path.is_dir():
            found.append(FoundPicture(path, Path(path.name)))
            continue
        inside = sorted(_walk(path, leave_out and leave_out.resolve()))
        if not inside:
            raise ConfigError(f"the folder {str(path)!r} holds no pictures; they end in {', '.join(SUFFIXES)}")
        found += [FoundPicture(each, each.relative_to(path)) for each in inside]
    return found


def save_paths(pictures: Sequence[FoundPicture], folder: Path) -> list[Path]:
    """Where to save each picture's drawing: below `folder` as below the folder that was searched.

    JPEG stays JPEG, all else becomes PNG. Pictures of the same name from different places get a number.

    Raises:
        ConfigError: a drawing would overwrite one of the pictures.
    """
    originals = {picture.path.resolve() for picture in pictures}
    taken: set[Path] = set()
    targets: list[Path] = []
    for picture in pictures:
        relative = picture.relative
        if relative.suffix.lower() not in (*_LOSSY, ".png"):
            relative = relative.with_name(f"{relative.name}.png")
        target, number = folder / relative, 1
        while target in taken:
            number += 1
            target = folder / relative.with_name(f"{relative.stem}-{number}{relative.suffix}")
        if target.resolve() in originals:
            raise ConfigError(
                f"saving to {str(folder)!r} would overwrite the picture {str(target)!r}; give another folder"
            )
        taken.add(target)
        targets.append(target)
    return targets


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() != leave_out]
        yield from (here / name for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES)
