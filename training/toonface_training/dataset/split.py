"""Divides a data set anew into a part to train on and a part to validate with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from toonface_contract.errors import ConfigError
from toonface_training.dataset.backup import replace_keeping
from toonface_training.dataset.check import Kind, kind_of
from toonface_training.dataset.check_detection import SPLITS, annotation_file
from toonface_training.dataset.check_feature import LABELS, PAIRS, read_labels
from toonface_training.dataset.coco_file import CocoFile, coco_text, read_coco
from toonface_training.dataset.problems import INVALID_DATASET, Problem, refuse_if_any

# As in PaddleX's example of cartoon faces.
_MOST_PAIRS = 8000

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Split:
    """What a division gave.

    Attributes:
        train: images, or identities of a feature set.
        val: likewise.
        kept: the annotation files as they were.
    """

    train: int
    val: int
    kept: tuple[Path, ...]


def split_dataset(
    dataset_dir: Path, train_percent: int, val_percent: int, *, kind: Kind | None = None, seed: int = 0
) -> Split:
    """Divide a data set by lot.

    A detection set is divided by images: those of both its annotation files, or of the one that it has. A feature set
    is divided by identities, those of `train/label.txt`: the ones to train on are numbered anew, and pairs of the
    others become the new `val/pair_label.txt`. No picture is moved; the old annotation files are kept as `.bak`.

    Args:
        dataset_dir: root of the data set.
        train_percent: part to train on, 1 to 99.
        val_percent: part to validate with; the two sum to 100.
        kind: of the data set; None finds out.
        seed: of the lot.

    Raises:
        ConfigError: the percentages do not sum to 100, or the annotation files are not sound, or a part would be empty.
    """
    if train_percent + val_percent != 100 or min(train_percent, val_percent) < 1:
        raise ConfigError(
            f"train_percent {train_percent} and val_percent {val_percent}: both must be 1 or more, and sum to 100"
        )
    lots = random.Random(seed)  # noqa: S311
    if (kind or kind_of(dataset_dir)) == "detection":
        return _split_detection(dataset_dir, train_percent, lots)
    return _split_feature(dataset_dir, train_percent, lots)


def _split_detection(dataset_dir: Path, train_percent: int, lots: random.Random) -> Split:
    problems: list[Problem] = []
    paths = {split: annotation_file(dataset_dir, split) for split in SPLITS}
    files = [read_coco(path, problems) for path in paths.values() if path.exists()]
    if not files:
        problems.append(Problem(paths["train"], None, "is not there"))
    refuse_if_any(problems)
    sound = [file for file in files if file]
    categories = sound[0].content["categories"]
    for file in sound[1:]:
        if file.content["categories"] != categories:
            problems.append(Problem(file.path, None, f"its categories are not those of {sound[0].path.name}"))
    scenes = [scene for file in sound for scene in _scenes(file, problems)]
    refuse_if_any(problems)
    train, val = _divide(scenes, train_percent, lots, "images")
    kept = []
    first_image = first_annotation = 1
    for split, part in (("train", train), ("val", val)):
        content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": categories}
        for number, (image, faces) in enumerate(part, start=first_image):
            content["images"].append(image | {"id": number})
            for annotation in faces:
                content["annotations"].append(annotation | {"id": first_annotation, "image_id": number})
                first_annotation += 1
        first_image += len(part)
        kept.append(replace_keeping(paths[split], coco_text(content)))
    return Split(len(train), len(val), tuple(path for path in kept if path))


def _scenes(file: CocoFile, problems: list[Problem]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each image of a file with its annotations."""
    by_id: dict[Any, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for image, line in file.entries("images"):
        if image.get("id") in by_id:
            problems.append(Problem(file.path, line, f"image id {image.get('id')} is there twice"))
        by_id[image.get("id")] = (image, [])
    for annotation, line in file.entries("annotations"):
        if annotation.get("image_id") in by_id:
            by_id[annotation["image_id"]][1].append(annotation)
        else:
            text = f"image_id {annotation.get('image_id')} is not among the images"
            problems.append(Problem(file.path, line, text))
    return list(by_id.values())


def _split_feature(dataset_dir: Path, train_percent: int, lots: random.Random) -> Split:
    problems: list[Problem] = []
    faces = read_labels(dataset_dir / LABELS, problems)
    refuse_if_any(problems)
    by_label: dict[int, list[str]] = {}
    for name, label in faces:
        by_label.setdefault(label, []).append(name)
    train, val = _divide(list(by_label.values()), train_percent, lots, "identities")
    pairs = _pairs([[f"../train/{name}" for name in names] for names in val], lots)
    labels = "".join(f"{name} {label}\n" for label, names in enumerate(train) for name in names)
    kept = (replace_keeping(dataset_dir / LABELS, labels), replace_keeping(dataset_dir / PAIRS, pairs))
    return Split(len(train), len(val), tuple(path for path in kept if path))


def _pairs(identities: list[list[str]], lots: random.Random) -> str:
    """Pairs of one identity, up to four thousand, and as many pairs of two."""
    several = [names for names in identities if len(names) > 1]
    if not several or len(identities) < 2:
        raise ConfigError(
            "the part to validate with needs two identities, and two pictures of one of them; make it larger",
            code=INVALID_DATASET,
        )
    possible = sum(len(names) * (len(names) - 1) // 2 for names in several)
    lines = []
    for _ in range(min(possible, _MOST_PAIRS // 2)):
        left, right = lots.sample(lots.choice(several), 2)
        lines.append(f"{left} {right} 1\n")
        one, other = lots.sample(identities, 2)
        lines.append(f"{lots.choice(one)} {lots.choice(other)} 0\n")
    return "".join(lines)


def _divide(
    items: Sequence[_Item], train_percent: int, lots: random.Random, what: str
) -> tuple[list[_Item], list[_Item]]:
    """The items by lot in two parts, each in the order that it had."""
    count = round(len(items) * train_percent / 100)
    if not 0 < count < len(items):
        raise ConfigError(f"{train_percent} percent of {len(items)} {what} leaves one part empty", code=INVALID_DATASET)
    chosen = set(lots.sample(range(len(items)), count))
    train = [item for number, item in enumerate(items) if number in chosen]
    val = [item for number, item in enumerate(items) if number not in chosen]
    return train, val
