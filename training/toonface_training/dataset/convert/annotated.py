"""A picture with its boxes, as an annotation tool has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from toonface_training.dataset.boxes import wrong_with_box
from toonface_training.dataset.pictures import upright_size
from toonface_training.dataset.problems import Problem

_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG", ".bmp", ".webp")


@dataclass(frozen=True)
class AnnotatedBox:
    """A box in pixels, and what is in it."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Annotated:
    """A picture below `images/`, its size in pixels, and its boxes."""

    file_name: str
    width: int
    height: int
    boxes: tuple[AnnotatedBox, ...]


def sorted_box(label: str, corners: tuple[float, float, float, float], size: tuple[int, int]) -> AnnotatedBox | str:
    """The box of two opposite corners, whichever; or what is wrong with it.

    Args:
        label: what is in it.
        corners: x and y of one, x and y of the other, in pixels.
        size: width and height of the picture.
    """
    if not all(map(math.isfinite, corners)):
        return f"its corners {corners} are not four numbers"
    x1, y1, x2, y2 = corners
    box = AnnotatedBox(label, min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    return wrong_with_box([box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1], *size) or box


def find_picture(
    images: Path, named: str, annotation: Path, problems: list[Problem]
) -> tuple[str, tuple[int, int]] | None:
    """The file below `images/` that an annotation is of, and its width and height.

    It has the name that the annotation gives, or that name or the annotation's own with another suffix of pictures, as
    tools write paths of the computer that they ran on.
    """
    name = PureWindowsPath(named).name  # understands both kinds of slashes
    stems = (Path(name).stem, annotation.stem)
    for candidate in (name, *(stem + suffix for stem in stems for suffix in _SUFFIXES)):
        if candidate and (images / candidate).is_file():
            size = upright_size(images / candidate)
            if isinstance(size, str):
                problems.append(Problem(images / candidate, None, size))
                return None
            return candidate, size
    problems.append(Problem(annotation, None, f"its picture `{named}` is not in {images}"))
    return None
