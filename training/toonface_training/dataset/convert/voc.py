"""Reads one annotation file of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from defusedxml.ElementTree import ParseError, parse

from toonface_training.dataset.convert.annotated import Annotated, AnnotatedBox, find_picture, sorted_box
from toonface_training.dataset.problems import Problem

SUFFIX = ".xml"
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(path: Path, images: Path, problems: list[Problem]) -> Annotated | None:
    """The picture that a file is of, and its boxes; what is wrong is added to `problems`.

    As in PaddleX, an object without a `bndbox` is left out, and coordinates are taken as they are (VOC's own count
    from 1).
    """
    try:
        root = parse(path).getroot()
    except ParseError as error:
        problems.append(Problem(path, error.position[0], f"is not XML: {error}"))
        return None
    except (OSError, ValueError, LookupError) as error:  # such as what defusedxml refuses, and encodings like gb2312
        problems.append(Problem(path, None, f"cannot be read: {error}"))
        return None
    if root is None:
        problems.append(Problem(path, None, "has no element"))
        return None
    found = len(problems)
    picture = find_picture(images, root.findtext("filename") or "", path, problems)
    boxes: list[AnnotatedBox] = []
    for number, each in enumerate(root.findall("object"), start=1):
        if each.find("bndbox") is None:
            continue
        box = _box(each, picture[1] if picture else None)
        if isinstance(box, AnnotatedBox):
            boxes.append(box)
        elif box:
            problems.append(Problem(path, None, f"object {number}: {box}"))
    if picture is None or len(problems) > found:
        return None
    name, size = picture
    return Annotated(name, *size, tuple(boxes))


def _box(each: Any, size: tuple[int, int] | None) -> AnnotatedBox | str | None:
    """The box of an object, or what is wrong with it; None where nothing is, but its picture is missing."""
    label = (each.findtext("name") or "").strip()
    edges = [each.findtext(f"bndbox/{edge}") for edge in _EDGES]
    try:
        x1, y1, x2, y2 = (float(edge or "nothing") for edge in edges)
    except ValueError:
        return f"its bndbox has {', '.join(_EDGES)} {edges}, not four numbers"
    if not label:
        return "it has no name"
    return sorted_box(label, (x1, y1, x2, y2), size) if size else None
