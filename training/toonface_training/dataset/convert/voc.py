"""Reads one annotation file of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException
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
    except (OSError, DefusedXmlException) as error:
        problems.append(Problem(path, None, f"cannot be read: {error}"))
        return None
    if root is None:
        problems.append(Problem(path, None, "has no element"))
        return None
    found = len(problems)
    picture = find_picture(images, root.findtext("filename") or "", path, problems)
    objects = [each for each in root.findall("object") if each.find("bndbox") is not None]
    boxes = [_box(each, number, path, problems) for number, each in enumerate(objects, start=1)]
    if picture is None or len(problems) > found:
        return None
    return Annotated(*picture, tuple(box for box in boxes if box))


def _box(each: Any, number: int, path: Path, problems: list[Problem]) -> AnnotatedBox | None:
    label = (each.findtext("name") or "").strip()
    edges = [each.findtext(f"bndbox/{edge}") for edge in _EDGES]
    try:
        x1, y1, x2, y2 = (float(edge or "nothing") for edge in edges)
    except ValueError:
        text = f"object {number}: its bndbox has {', '.join(_EDGES)} {edges}, not four numbers"
        problems.append(Problem(path, None, text))
        return None
    if not label:
        problems.append(Problem(path, None, f"object {number} has no name"))
        return None
    return sorted_box(label, x1, y1, x2, y2)
