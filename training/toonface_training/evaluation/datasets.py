"""The datasets that figures are made on, as PaddleX lays them out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from toonface_client.cli.gallery_list import ListedPicture
from toonface_contract.errors import ConfigError, InvalidImage
from toonface_ensemble.crop import clip_boxes, has_pixels
from toonface_ensemble.decode import decode_image
from toonface_training.evaluation.metrics.detection import TrueFaces
from toonface_training.evaluation.subjects import Pixels

PAIRS = "val/pair_label.txt"
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


class _Image(BaseModel):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(BaseModel):
    image_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0
    character: str | None = None


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]


_Content = TypeVar("_Content", bound=BaseModel)


def read_scenes(dataset: Path, split: str) -> list[Scene]:
    """The scenes of a detection set: `annotations/instance_<split>.json` (COCO), pictures in `images/`.

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
    coco = _read(path, _Coco)
    faces: dict[int, list[_Annotation]] = defaultdict(list)
    for annotation in coco.annotations:
        faces[annotation.image_id].append(annotation)
    unknown = sorted(faces.keys() - {image.id for image in coco.images})
    if unknown:
        raise ConfigError(f"{path}: an annotation has image_id {unknown[0]}, which is no id of an image")
    if not coco.images:
        raise ConfigError(f"{path} lists no images")
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


def _read(path: Path, kind: type[_Content]) -> _Content:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}".replace(": : ", ": ")) from error
