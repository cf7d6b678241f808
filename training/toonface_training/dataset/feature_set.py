"""Plain face crops by character, and lists of them: the feature set's, and what galleries are made of."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toonface_training.cartoon.camera import encoded
from toonface_training.cartoon.closeup import Closeup, closeup
from toonface_training.cartoon.crowd import any_angle
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.sprites import draw_character
from toonface_training.dataset.detection_set import box_entries
from toonface_training.dataset.pairs import possible_pairs
from toonface_training.dataset.roster import Name, character, label

# A little larger than the largest face of a closeup.
_DRAWN_SIDE = 144.0
_JPEG_QUALITY = 92

PICTURES = "pictures"
"""The folder of whole pictures that show the faces of crops, under that of their lists: a detection set."""


@dataclass(frozen=True)
class Shot:
    """How some pictures of a character are taken.

    Attributes:
        kind: in the file names.
        count: how many.
        turned: the most degrees to either side; None for the angles of scenes.
        severity: of what the camera does.
        shifted: the most by which each edge of the box is moved, as a detector's would be, in parts of its side.
        with_context: whether what is around the crop is stored too.
        picture_lot: of the lots by which the places of faces in whole pictures are drawn, where each face is stored in
            such a picture too; None where it is not.
    """

    kind: str
    count: int
    turned: float | None
    severity: float
    shifted: float = 0.0
    with_context: bool = False
    picture_lot: int | None = None


@dataclass(frozen=True)
class CharacterJob:
    """Draws the pictures of one character.

    Attributes:
        folder: under that of the data set.
        who: the character.
        seed: of the data set.
        drawings: how many expressions are drawn.
        shots: the pictures.
    """

    folder: str
    who: Name
    seed: int
    drawings: int
    shots: tuple[Shot, ...]

    @property
    def name(self) -> str:
        """As the record is called."""
        return f"faces-{self.folder.replace('/', '-')}-{label(self.who)}"

    def run(self, folder: Path) -> dict[str, list[dict[str, Any]]]:
        """Write the pictures under the data set's folder.

        Returns:
            By kind of shot, `path` and `angle` of each picture; with a context, the `box` in it; with a whole picture,
            `picture`: its `file_name`, `width`, `height` and `faces`.
        """
        lots = self._lots(5)
        drawn = [draw_character(character(self.who), _DRAWN_SIDE, lots) for _ in range(self.drawings)]
        record: dict[str, list[dict[str, Any]]] = {}
        places = {shot.picture_lot: self._lots(shot.picture_lot) for shot in self.shots if shot.picture_lot is not None}
        taken = 0
        for shot in self.shots:
            entries = record.setdefault(shot.kind, [])
            for picture in range(shot.count):
                angle = any_angle(lots) if shot.turned is None else float(lots.uniform(-shot.turned, shot.turned))
                drawing, again = drawn[taken % len(drawn)], copy.deepcopy(lots)
                taking = closeup(drawing, angle, lots, shot.severity)
                taken += 1
                path = f"images/{label(self.who)}/{label(self.who)}_{shot.kind}_{picture:03d}.jpg"
                entry = {"path": path, "angle": round(angle, 1)} | self._write(folder, path, taking, shot, lots)
                if shot.picture_lot is not None:
                    whole = closeup(drawing, angle, again, shot.severity, places[shot.picture_lot])
                    entry["picture"] = self._write_picture(folder, Path(path).name, whole, angle)
                entries.append(entry)
        return record

    def _lots(self, part: int) -> np.random.Generator:
        style, number = self.who
        # The letters of the style, so that equal seeds of two styles give other pictures.
        return np.random.default_rng([self.seed, part, number, *style.encode()])

    def _write(
        self, folder: Path, path: str, taking: Closeup, shot: Shot, lots: np.random.Generator
    ) -> dict[str, list[float]]:
        box = taking.shifted_box(shot.shifted, lots) if shot.shifted else taking.box
        # Rounded before it is cut, so that the list and the crop agree.
        box = Box(*(round(edge, 2) for edge in (box.x1, box.y1, box.x2, box.y2)))
        _write(folder / self.folder / path, encoded(taking.crop(box), _JPEG_QUALITY))
        if not shot.with_context:
            return {}
        _write(folder / self.folder / context_path(path), encoded(taking.context, _JPEG_QUALITY))
        return {"box": [box.x1, box.y1, box.x2, box.y2]}

    def _write_picture(self, folder: Path, name: str, whole: Closeup, angle: float) -> dict[str, Any]:
        _write(folder / self.folder / PICTURES / "images" / name, encoded(whole.context, _JPEG_QUALITY))
        height, width = whole.context.shape[:2]
        face = {**box_entries(whole.box), "character": label(self.who), "angle": round(angle, 1)}
        return {"file_name": name, "width": width, "height": height, "faces": [face]}


def context_path(path: str) -> str:
    """Where the surroundings of a crop are stored, under the folder of its list."""
    return path.replace("images/", "context/", 1)


def label_list(records: Sequence[Mapping[str, Any]]) -> str:
    """PaddleX's `label.txt`: `path id` a line; ids count from 0 in the order of the characters."""
    lines = (f"{entry['path']} {number}\n" for number, record in enumerate(records) for entry in record["picture"])
    return "".join(lines)


def box_list(records: Sequence[Mapping[str, Any]]) -> str:
    """`boxes.txt`: `path x1 y1 x2 y2` a line, the box of each crop in the picture of its surroundings."""
    lines = (
        f"{entry['path']} {' '.join(f'{value:.2f}' for value in entry['box'])}\n"
        for record in records
        for entry in record["picture"]
    )
    return "".join(lines)


def pair_list(characters: Sequence[Name], records: Sequence[Mapping[str, Any]], pairs: int, seed: int) -> str:
    """PaddleX's `pair_label.txt`: `left right 0|1` a line, in turn a pair of one character and one of two.

    Of the pairs of two, every other one is of two characters of one style, as long as there are such. No pair is there
    twice; there are fewer than `pairs` where there are not so many.
    """
    lots = np.random.default_rng([seed, 6])
    paths = [[entry["path"] for entry in record["picture"]] for record in records]
    by_style: dict[str, list[int]] = {}
    for number, (style, _) in enumerate(characters):
        by_style.setdefault(style, []).append(number)
    sizes = [len(of_one) for of_one in paths]
    most = min(pairs, 2 * min(possible_pairs(sizes)))
    alike_left = sum(possible_pairs([sizes[number] for number in numbers])[1] for numbers in by_style.values())
    lines: dict[frozenset[str], str] = {}
    while len(lines) < most:
        number = len(lines)
        first = second = int(lots.integers(len(paths)))
        if number % 2 == 0:
            left, right = lots.choice(paths[first], 2, replace=False)
        else:
            alike = [other for other in by_style[characters[first][0]] if other != first] if alike_left else []
            others = alike if number % 4 == 1 and alike else [other for other in range(len(paths)) if other != first]
            left, second = lots.choice(paths[first]), int(lots.choice(others))
            right = lots.choice(paths[second])
        pair = frozenset((left, right))
        if pair not in lines:
            lines[pair] = f"{left} {right} {1 - number % 2}\n"
            alike_left -= first != second and characters[first][0] == characters[second][0]
    return "".join(lines.values())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
