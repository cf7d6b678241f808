"""Reads one annotation file of LabelMe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from toonface_training.dataset.convert.annotated import Annotated, AnnotatedBox, find_picture, sorted_box
from toonface_training.dataset.problems import Problem

SUFFIX = ".json"


class _Shape(BaseModel):
    label: str = Field(min_length=1)
    shape_type: Literal["rectangle"]
    points: tuple[tuple[float, float], tuple[float, float]]


class _File(BaseModel):
    image_path: str = Field(alias="imagePath")
    shapes: list[_Shape]


def read_labelme(path: Path, images: Path, problems: list[Problem]) -> Annotated | None:
    """The picture that a file is of, and its rectangles; what is wrong is added to `problems`."""
    try:
        content = _File.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except json.JSONDecodeError as error:
        problems.append(Problem(path, error.lineno, f"is not JSON: {error.msg}"))
        return None
    except ValidationError as error:
        problems += [Problem(path, None, _place(each["loc"]) + each["msg"]) for each in error.errors()]
        return None
    except (OSError, ValueError, RecursionError) as error:
        problems.append(Problem(path, None, f"cannot be read: {error}"))
        return None
    picture = find_picture(images, content.image_path, path, problems)
    if picture is None:
        return None
    name, size = picture
    boxes: list[AnnotatedBox] = []
    found = len(problems)
    for number, shape in enumerate(content.shapes, start=1):
        box = sorted_box(shape.label, (*shape.points[0], *shape.points[1]), size)
        if isinstance(box, str):
            problems.append(Problem(path, None, f"shapes {number}: {box}"))
        else:
            boxes.append(box)
    return Annotated(name, *size, tuple(boxes)) if len(problems) == found else None


def _place(location: tuple[int | str, ...]) -> str:
    """As a person counts: `shapes 3 shape_type: ` is of the third shape; nothing is said of the file as a whole."""
    return " ".join(str(part + 1) if isinstance(part, int) else part for part in location) + (": " if location else "")
