"""The datasets that figures are made on, as PaddleX lays them out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from toonface_client.cli.gallery_list import ListedPicture
from toonface_contract.errors import ConfigError, InvalidImage, ToonfaceError
from toonface_ensemble.crop import clip_boxes, has_pixels
from toonface_ensemble.decode import decode_image
from toonface_training.evaluation.metrics.detection import TrueFaces
from toonface_training.evaluation.subjects import Pixels

PAIRS = "val/pair_label.txt"
FACE = "face"
GALLERY, PROBES = "gallery.txt", "probe.txt"

# A character of a generated set is called by its style and a number.
_STYLED = re.compile(r"(?P<style>.+)-\d+")


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with faces, and the truth about them.

    Attributes:
        path: of the picture.
        truth: the faces.
        labels: for each face who it is, as galleries name it; None where the annotation does not say.
    """

    path: Path
    truth: TrueFaces
    labels: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures of one face each, and whether they show one character."""

    left: Path
    right: Path
    same: bool


@dataclass(frozen=True, slots=True)
class GallerySet:
    """A gallery, and pictures to look up in it.

    Attributes:
        gallery: who is enrolled, in the list's order.
        probes: pictures of one face each; strangers have a label that is not in the gallery.
    """

    gallery: list[ListedPicture]
    probes: list[ListedPicture]


_Side = Annotated[int, Field(gt=0)]
_Place = Annotated[float, Field(allow_inf_nan=False)]
_Extent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Category(BaseModel):
    id: int
    name: str


class _Image(BaseModel):
    id: int
    file_name: str
    width: _Side
    height: _Side


class _Annotation(BaseModel):
    image_id: int
    category_id: int | None = None
    bbox: tuple[_Place, _Place, _Extent, _Extent]
    iscrowd: int = 0
    character: str | None = None


class _Coco(BaseModel):
    categories: list[_Category] = []
    images: list[_Image]
    annotations: list[_Annotation]


Answer = TypeVar("Answer")


def read_scenes(dataset: Path, split: str) -> list[Scene]:
    """The scenes of a detection set: `annotations/instance_<split>.json` (COCO), pictures in `images/`.

    Where a category is called `face`, its annotations alone are faces; else those of all categories are.

    Args:
        dataset: the folder.
        split: `val`, or another that the folder has.

    Raises:
        ConfigError: there is no such split, or its file is not what it should be.
    """
    path = dataset / "annotations" / f"instance_{split}.json"
    if not path.is_file():
        there = sorted(each.stem.removeprefix("instance_") for each in path.parent.glob("instance_*.json"))
        raise ConfigError(f"{path} is missing; {dataset} has the splits {', '.join(there) or 'none'}")
    coco = _read(path)
    faces: dict[int, list[_Annotation]] = {image.id: [] for image in coco.images}
    if not faces:
        raise ConfigError(f"{path} lists no images")
    if len(faces) < len(coco.images):
        twice = next(number for number, times in Counter(image.id for image in coco.images).items() if times > 1)
        raise ConfigError(f"{path}: the image id {twice} is there twice")
    categories = {category.id: category.name for category in coco.categories}
    called_face = {number for number, name in categories.items() if name.lower() == FACE}
    # Of a single category an annotation need not say that it is of it.
    known: set[int | None] = {*categories, None} if len(categories) == 1 else {*categories}
    for place, annotation in enumerate(coco.annotations):
        image, category = annotation.image_id, annotation.category_id
        if image not in faces:
            raise ConfigError(f"{path}: annotations.{place}.image_id {image} is no id of an image")
        if categories and category not in known:
            raise ConfigError(f"{path}: annotations.{place}.category_id {category} is no id of a category")
        if not called_face or category is None or category in called_face:
            faces[image].append(annotation)
    return [_scene(dataset / "images", image, faces[image.id]) for image in coco.images]


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a feature set, PaddleX's `pair_label.txt`: lines of `left right 1` (same) or `0` (different).

    Raises:
        ConfigError: the file cannot be read, has no lines, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the list of pairs {path}: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 3 or parts[2] not in ("0", "1"):
            raise ConfigError(f"{path}, line {number}: {line!r} is not `left right 0` or `left right 1`")
        pairs.append(Pair(path.parent / parts[0], path.parent / parts[1], parts[2] == "1"))
    if not pairs:
        raise ConfigError(f"{path} has no lines; each is `left right 0` or `left right 1`")
    return pairs


def style_of(label: str) -> str | None:
    """The style that a label names, as in `micah-17`; None where it is not of that form."""
    named = _STYLED.fullmatch(label)
    return named["style"] if named else None


def read_pictures(paths: Iterator[Path] | list[Path]) -> Iterator[Pixels]:
    """The pictures, decoded as the server decodes them, one after another.

    Raises:
        InvalidImage: one cannot be read; the message names it.
    """
    for path in paths:
        yield read_picture(path)


def in_turn(answers: Iterable[Answer], paths: Sequence[Path]) -> Iterator[Answer]:
    """Answers about pictures, as they are; an error is given the path of the picture whose turn it is.

    Args:
        answers: one for each path, in their order, made as they are asked for.
        paths: of the pictures. Errors of reading, which may come ahead of their turn, name theirs already.

    Raises:
        ToonfaceError: what `answers` raises.
    """
    number = 0
    try:
        for answer in answers:
            number += 1
            yield answer
    except ToonfaceError as error:
        if number == len(paths) or any(str(path) in error.message for path in paths):
            raise
        raise type(error)(f"{paths[number]}: {error.message}", code=error.code) from error


def read_picture(path: Path) -> Pixels:
    """One picture, decoded as the server decodes it.

    Raises:
        InvalidImage: it cannot be read; the message names it.
    """
    try:
        return decode_image(path.read_bytes())
    except OSError as error:
        raise InvalidImage(f"cannot read the picture {path}: {error.strerror or error}") from error
    except InvalidImage as error:
        raise InvalidImage(f"{path}: {error.message}", code=error.code) from error


def _scene(folder: Path, image: _Image, faces: list[_Annotation]) -> Scene:
    boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = clip_boxes(boxes, image.height, image.width)
    # A face outside the picture cannot be found.
    ignored = np.array([bool(face.iscrowd) for face in faces], np.bool_) | ~has_pixels(boxes)
    return Scene(folder / image.file_name, TrueFaces(boxes, ignored), tuple(face.character for face in faces))


def _read(path: Path) -> _Coco:
    try:
        return _Coco.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}".replace(": : ", ": ")) from error
