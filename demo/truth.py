"""What the demo's pictures show (expected.json), and how an answer is held against it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from toonface_client import Box, Face, RecognitionResult

# Intersection over union at which a found box counts as the true one: the usual measure of detection benchmarks
# (PASCAL VOC).
MIN_OVERLAP = 0.5


@dataclass(frozen=True)
class TrueFace:
    """A face that is in a picture: its label (`Unknown` for a stranger), and its box in pixels."""

    label: str
    box: Box


@dataclass(frozen=True)
class Picture:
    """A picture of the demo.

    Attributes:
        path: the file.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        faces: all faces in it.
    """

    path: Path
    width: int
    height: int
    faces: tuple[TrueFace, ...]


@dataclass(frozen=True)
class Finding:
    """One face of a picture: as it is, as it was answered, or both where the two are one.

    Attributes:
        truth: the true face; None where there is none.
        found: the answered face; None where the face was missed.
        overlap: intersection over union of the two boxes, 0 to 1; 0 where one is missing.
    """

    truth: TrueFace | None
    found: Face | None
    overlap: float = 0.0

    @property
    def right(self) -> bool:
        """Whether there is such a face, it was found, and it got its own name."""
        return self.truth is not None and self.found is not None and self.truth.label == self.found.label


def read_pictures(folder: Path) -> list[Picture]:
    """The pictures of a demo folder, with what its `expected.json` says of them."""
    entries = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["pictures"]
    return [
        Picture(
            path=folder / entry["file"],
            width=entry["width"],
            height=entry["height"],
            faces=tuple(TrueFace(face["label"], Box(*face["box"])) for face in entry["faces"]),
        )
        for entry in entries
    ]


def compare(picture: Picture, result: RecognitionResult) -> list[Finding]:
    """Match answered faces to true ones, best overlap first.

    Returns:
        One finding for each true face, in the picture's order, then one for each answered face that is none.

    Raises:
        ValueError: the answer is for a picture of another size, as when its EXIF orientation was not applied.
    """
    if (result.width, result.height) != (picture.width, picture.height):
        raise ValueError(
            f"{picture.path} is {picture.width} x {picture.height}, and was taken for {result.width} x {result.height}"
        )
    pairs = sorted(
        (
            (overlap(truth.box, found.box), number, index)
            for number, truth in enumerate(picture.faces)
            for index, found in enumerate(result.faces)
        ),
        reverse=True,
    )
    matched: dict[int, Finding] = {}
    taken: set[int] = set()
    for shared, number, index in pairs:
        if shared >= MIN_OVERLAP and number not in matched and index not in taken:
            matched[number] = Finding(picture.faces[number], result.faces[index], shared)
            taken.add(index)
    return [matched.get(number, Finding(truth, None)) for number, truth in enumerate(picture.faces)] + [
        Finding(None, found) for index, found in enumerate(result.faces) if index not in taken
    ]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    area = sum((box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other))
    return shared / (area - shared) if shared else 0.0
