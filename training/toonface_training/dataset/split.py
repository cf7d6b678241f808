"""Divides a data set anew into a part to train on and a part to validate with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any, TypeVar

from toonface_contract.errors import ConfigError
from toonface_training.dataset.backup import replace_keeping
from toonface_training.dataset.check import Kind, kind_of
from toonface_training.dataset.check_detection import SPLITS, annotation_file
from toonface_training.dataset.check_feature import LABELS, PAIRS, read_labels
from toonface_training.dataset.coco_file import CocoFile, category_names, coco_text, is_whole, read_coco
from toonface_training.dataset.pairs import possible_pairs
from toonface_training.dataset.problems import INVALID_DATASET, Problem, refuse_if_any, system_errors_refused

# As in PaddleX's example of cartoon faces.
_MOST_PAIRS = 8000
# How pairs name the pictures of `train/`.
_FROM_PAIRS = "../train/"

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
        ConfigError: the percentages do not sum to 100, or the annotation files are not sound or cannot be written, or
            a part would be empty, or an earlier division took identities out of `train/label.txt`. Nothing is changed
            then.
    """
    if train_percent + val_percent != 100 or min(train_percent, val_percent) < 1:
        raise ConfigError(
            f"train_percent {train_percent} and val_percent {val_percent}: both must be 1 or more, and sum to 100"
        )
    lots = random.Random(seed)  # noqa: S311
    with system_errors_refused(f"cannot divide {dataset_dir}"):
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
    categories, names = sound[0].content["categories"], [category_names(file, problems) for file in sound]
    if names[0] != names[-1]:
        text = f"its categories are {names[-1]}, those of {sound[0].path.name} {names[0]}"
        problems.append(Problem(sound[-1].path, None, text))
    pictures: dict[str, Path] = {}
    scenes = [scene for file in sound for scene in _scenes(file, pictures, problems)]
    refuse_if_any(problems)
    train, val = _divide(scenes, train_percent, lots, "images")
    texts: dict[Path, str] = {}
    first_image = first_annotation = 1
    for split, part in (("train", train), ("val", val)):
        content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": categories}
        for number, (image, faces) in enumerate(part, start=first_image):
            content["images"].append(image | {"id": number})
            for annotation in faces:
                content["annotations"].append(annotation | {"id": first_annotation, "image_id": number})
                first_annotation += 1
        first_image += len(part)
        texts[paths[split]] = coco_text(content)
    return Split(len(train), len(val), tuple(replace_keeping(texts)))


def _scenes(
    file: CocoFile, pictures: dict[str, Path], problems: list[Problem]
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each image of a file with its annotations; `pictures` grows by their names, and says which file has them."""
    by_id: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for image, line in file.entries("images"):
        number, name = image.get("id"), image.get("file_name")
        if not is_whole(number) or not isinstance(name, str):
            problems.append(Problem(file.path, line, "an image needs a whole number `id` and a `file_name`"))
            continue
        if number in by_id:
            problems.append(Problem(file.path, line, f"image id {number} is there twice"))
        if name in pictures:
            problems.append(Problem(file.path, line, f"image {name} is there already, in {pictures[name].name}"))
        by_id[number] = (image, [])
        pictures[name] = file.path
    for annotation, line in file.entries("annotations"):
        image_id = annotation.get("image_id")
        if is_whole(image_id) and image_id in by_id:
            by_id[image_id][1].append(annotation)
        else:
            problems.append(Problem(file.path, line, f"image_id {image_id} is not among the images"))
    return list(by_id.values())


def _split_feature(dataset_dir: Path, train_percent: int, lots: random.Random) -> Split:
    problems: list[Problem] = []
    faces = read_labels(dataset_dir / LABELS, problems)
    refuse_if_any(problems)
    _refuse_lost(dataset_dir, {name for name, _ in faces})
    by_label: dict[int, list[str]] = {}
    for name, label in faces:
        by_label.setdefault(label, []).append(name)
    train, val = _divide(list(by_label.values()), train_percent, lots, "identities")
    pairs = _pairs([[f"{_FROM_PAIRS}{name}" for name in names] for names in val], lots)
    labels = "".join(f"{name} {label}\n" for label, names in enumerate(train) for name in names)
    kept = replace_keeping({dataset_dir / LABELS: labels, dataset_dir / PAIRS: pairs})
    return Split(len(train), len(val), tuple(kept))


def _refuse_lost(dataset_dir: Path, listed: set[str]) -> None:
    """Pairs of an earlier division name pictures that are in no part of a new one: only the list before it has them."""
    labels, pairs = dataset_dir / LABELS, dataset_dir / PAIRS
    if not pairs.exists():
        return
    fields = pairs.read_text(encoding="utf-8", errors="replace").split()
    lost = {field.removeprefix(_FROM_PAIRS) for field in fields if field.startswith(_FROM_PAIRS)} - listed
    for kept in sorted(labels.parent.glob(f"{labels.name}.bak*")) if lost else ():
        lines = kept.read_text(encoding="utf-8", errors="replace").splitlines()
        if lost & {line.rpartition(" ")[0] for line in lines}:
            raise ConfigError(
                f"an earlier division took {len(lost)} pictures out of {labels}; move {kept} back to its place, "
                "so that all are divided anew",
                code=INVALID_DATASET,
            )


def _pairs(identities: list[list[str]], lots: random.Random) -> str:
    """Pairs of one identity, up to four thousand, and as many pairs of two; none is there twice."""
    several = [number for number, names in enumerate(identities) if len(names) > 1]
    if not several or len(identities) < 2:
        raise ConfigError(
            "the part to validate with needs two identities, and two pictures of one of them; make it larger",
            code=INVALID_DATASET,
        )
    most = min(*possible_pairs([len(names) for names in identities]), _MOST_PAIRS // 2)
    left = {number: comb(len(identities[number]), 2) for number in several}
    lines: dict[frozenset[str], str] = {}
    while len(lines) < 2 * most:
        same = len(lines) % 2 == 0
        who = lots.choice(several) if same else None
        one, other = map(lots.choice, lots.sample(identities, 2)) if who is None else lots.sample(identities[who], 2)
        if frozenset((one, other)) in lines:
            continue
        lines[frozenset((one, other))] = f"{one} {other} {int(same)}\n"
        if who is not None:
            left[who] -= 1
            if not left[who]:
                several.remove(who)
    return "".join(lines.values())


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
