"""Reads what PaddleX's datasets say: which pictures there are, and what is on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from toonface_contract.errors import ConfigError

SCENES, LABELS = "annotations/instance_train.json", "train/label.txt"
VAL_SCENES, PAIRS = "annotations/instance_val.json", "val/pair_label.txt"
# What generated feature sets have beside PaddleX's layout: where in a larger picture each crop was cut out.
BOXES, CROPS, CONTEXT = "boxes.txt", "images/", "context/"


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with faces.

    Attributes:
        path: of the picture.
        boxes: FP32 [n,4], x1, y1, x2, y2 in its pixels, each with an area.
        classes: INT64 [n]: positions of the faces' categories in the order of their ids.
    """

    path: Path
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Face:
    """A picture of one face, and whose it is.

    Attributes:
        path: of the picture.
        label: from 0.
        box: where in the picture the face is, x1, y1, x2, y2; None where the picture is its crop.
    """

    path: Path
    label: int
    box: tuple[float, float, float, float] | None = None


class _Category(BaseModel):
    id: int
    name: str


class _Image(BaseModel):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Coco(BaseModel):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def read_scenes(dataset: Path) -> tuple[list[Scene], list[str]]:
    """The training pictures of a detection set, and the names of its categories.

    Boxes are clipped to the picture; those without an area, and crowds, are left out.

    Raises:
        ConfigError: the annotation is missing or is not what it should be, or lists nothing to learn from.
    """
    path = dataset / SCENES
    if not path.is_file():
        raise ConfigError(f"{path} is missing; Global.dataset_dir must name a detection set in PaddleX's layout (COCO)")
    try:
        coco = _Coco.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    position = {category: index for index, category in enumerate(sorted(each.id for each in coco.categories))}
    faces: dict[int, list[_Annotation]] = {image.id: [] for image in coco.images}
    for number, annotation in enumerate(coco.annotations):
        if annotation.image_id not in faces or annotation.category_id not in position:
            wrong = "image_id" if annotation.image_id not in faces else "category_id"
            raise ConfigError(
                f"{path}: annotations.{number}.{wrong} is {getattr(annotation, wrong)}, which is not listed"
            )
        faces[annotation.image_id].append(annotation)
    scenes = [_scene(dataset / "images", image, faces[image.id], position) for image in coco.images]
    if not any(len(scene.boxes) for scene in scenes):
        raise ConfigError(f"{path} has no face to learn from")
    return scenes, [each.name for each in sorted(coco.categories, key=lambda category: category.id)]


def read_faces(dataset: Path) -> list[Face]:
    """The training pictures of a feature set: lines of `path label`, paths relative to `train/`.

    Where there is also `boxes.txt`, lines of `path x1 y1 x2 y2`, the pictures are those that the crops were cut from,
    in `context/` instead of `images/`, so that augmentation can move the box.

    Raises:
        ConfigError: a list is missing, empty, malformed or not UTF-8.
    """
    path = dataset / LABELS
    if not path.is_file():
        raise ConfigError(f"{path} is missing; Global.dataset_dir must name a feature set in PaddleX's layout")
    boxes = _read_boxes(path.with_name(BOXES))
    faces = []
    for number, line in enumerate(_lines(path), 1):
        picture, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not picture or not label.isdecimal():
            raise ConfigError(f"{path}, line {number}: {line!r} is not `path label`, the label a number from 0")
        box = boxes.get(picture)
        file = picture if box is None else picture.replace(CROPS, CONTEXT, 1)
        faces.append(Face(path.parent / file, int(label), box))
    if not faces:
        raise ConfigError(f"{path} lists no pictures")
    return faces


def _read_boxes(path: Path) -> dict[str, tuple[float, float, float, float]]:
    """The box of each crop, by the crop's path; empty where there is no such list."""
    if not path.exists():
        return {}
    boxes = {}
    for number, line in enumerate(_lines(path), 1):
        picture, *values = line.rsplit(" ", 4)
        try:
            left, top, right, bottom = map(float, values)
        except ValueError as error:
            raise ConfigError(f"{path}, line {number}: {line!r} is not `path x1 y1 x2 y2`") from error
        boxes[picture] = (left, top, right, bottom)
    return boxes


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text in UTF-8: {error}") from error


def _scene(folder: Path, image: _Image, faces: list[_Annotation], position: dict[int, int]) -> Scene:
    faces = [face for face in faces if not face.iscrowd]
    boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = boxes.clip(0, np.array([image.width, image.height] * 2, np.float32))
    classes = np.array([position[face.category_id] for face in faces], np.int64)
    real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Scene(folder / image.file_name, boxes[real], classes[real])
