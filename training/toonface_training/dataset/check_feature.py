"""Checks a feature set: crops by identity to train on, and pairs to validate with, as PaddleX's `ClsDataset`."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toonface_training.dataset.pictures import SAMPLES, SamplePictures, undecodable, upright_size
from toonface_training.dataset.problems import Problem

DATASET_TYPE = "ClsDataset"
LABELS, PAIRS = "train/label.txt", "val/pair_label.txt"


def check_feature(
    dataset_dir: Path, output: Path, problems: list[Problem], warnings: list[Problem]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """PaddleX's `attributes` and `analysis` (which is empty) of a feature set; what is wrong is added to `problems`.

    Args:
        dataset_dir: of `train/label.txt` and `val/pair_label.txt`.
        output: where sample pictures go; nothing is written where there are problems.
        problems: grows.
        warnings: grows by what can be trained on all the same.
    """
    known: dict[Path, str | None] = {}
    faces = _check_labels(dataset_dir / LABELS, known, problems)
    pairs = _check_pairs(dataset_dir / PAIRS, known, problems, warnings)
    if problems:
        return {}, {}
    # Not the first lines, which would be of one identity.
    draw = random.Random(123)  # noqa: S311
    shown = draw.sample(faces, min(SAMPLES, len(faces)))
    shown_pairs = draw.sample(pairs, min(SAMPLES, len(pairs)))
    problems += undecodable([(path, line) for path, _, line in shown], dataset_dir / LABELS, "picture")
    problems += undecodable(shown_pairs, dataset_dir / PAIRS, "picture")
    if problems:
        return {}, {}
    samples = SamplePictures(output)
    attributes: dict[str, Any] = {
        "train_label_file": _seen_from(output, dataset_dir / LABELS),
        "train_num_classes": max(label for _, label, _ in faces) + 1,
        "train_samples": len(faces),
        "train_sample_paths": [samples.add(path, label=str(label)) for path, label, _ in shown],
        "val_label_file": _seen_from(output, dataset_dir / PAIRS),
        "val_num_classes": 2,
        "val_samples": len(pairs),
        "val_sample_paths": [samples.add(path) for path, _ in shown_pairs],
    }
    return attributes, {}


def read_labels(path: Path, problems: list[Problem]) -> list[tuple[str, int]]:
    """The pictures, relative to its folder, and ids of `label.txt`; what is wrong is added to `problems`."""
    known: dict[Path, str | None] = {}
    return [(name, label) for name, label, _ in _labels(path, known, problems)]


def _check_labels(path: Path, known: dict[Path, str | None], problems: list[Problem]) -> list[tuple[Path, int, int]]:
    """The pictures, ids and lines of `label.txt`, whose ids have no gaps."""
    faces = _labels(path, known, problems)
    first_of_label: dict[int, int] = {}
    for _, label, line in faces:
        first_of_label.setdefault(label, line)
    expected = 0
    for label in sorted(first_of_label):
        if label > expected:
            missing = f"{expected}" if label == expected + 1 else f"{expected} to {label - 1}"
            text = f"ids count from 0 without gaps; {missing} is missing before {label}"
            problems.append(Problem(path, first_of_label[label], text))
        expected = label + 1
    return [(path.parent / name, label, line) for name, label, line in faces]


def _labels(path: Path, known: dict[Path, str | None], problems: list[Problem]) -> list[tuple[str, int, int]]:
    """Picture, id and line of each sound line of `label.txt`."""
    faces: list[tuple[str, int, int]] = []
    first_lines: dict[str, int] = {}
    for line, (name, label) in _lines(path, 2, "path id", problems):
        if name in first_lines:
            problems.append(Problem(path, line, f"{name} is there already, on line {first_lines[name]}"))
        first_lines.setdefault(name, line)
        _check_picture(path, line, name, known, problems)
        if label.isascii() and label.isdigit():
            faces.append((name, int(label), line))
        else:
            problems.append(Problem(path, line, f"id `{label}` is not a whole number from 0 up"))
    return faces


def _check_pairs(
    path: Path, known: dict[Path, str | None], problems: list[Problem], warnings: list[Problem]
) -> list[tuple[Path, int]]:
    """The left pictures of `pair_label.txt`, and their lines."""
    lefts: list[tuple[Path, int]] = []
    seen: set[str] = set()
    first_lines: dict[tuple[str, ...], int] = {}
    for line, (left, right, same) in _lines(path, 3, "left right 0|1", problems):
        for name in (left, right):
            _check_picture(path, line, name, known, problems)
        if left == right:
            problems.append(Problem(path, line, f"{left} is paired with itself"))
        if same not in ("0", "1"):
            problems.append(Problem(path, line, f"`{same}` is neither 1 (one identity) nor 0 (two)"))
        seen.add(same)
        first = first_lines.setdefault(tuple(sorted((left, right))), line)
        if first != line:
            warnings.append(Problem(path, line, f"the pair {left} {right} is there already, on line {first}"))
        lefts.append((path.parent / left, line))
    if lefts and not {"0", "1"} <= seen:
        problems.append(Problem(path, None, "needs pairs of one identity (1) and pairs of two (0)"))
    return lefts


def _lines(path: Path, fields: int, layout: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line with its number; lines that have another number of them become problems."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        problems.append(Problem(path, None, reason))
        return
    if not lines:
        problems.append(Problem(path, None, "is empty"))
    for number, line in enumerate(lines, start=1):
        parts = line.split(" ")
        if len(parts) == fields and all(parts):
            yield number, parts
        else:
            problems.append(Problem(path, number, f"`{line}` is not `{layout}` with one space between"))


def _check_picture(path: Path, line: int, name: str, known: dict[Path, str | None], problems: list[Problem]) -> None:
    picture = path.parent / name
    if picture not in known:
        size = upright_size(picture)
        known[picture] = size if isinstance(size, str) else None
    if known[picture] is not None:
        problems.append(Problem(path, line, f"picture {picture} {known[picture]}"))


def _seen_from(output: Path, path: Path) -> str:
    """The path as PaddleX writes it: from the folder `check_dataset` in the output."""
    return Path(os.path.relpath(path.resolve(), (output / "check_dataset").resolve())).as_posix()
