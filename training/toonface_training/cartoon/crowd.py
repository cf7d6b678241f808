"""Scenes for detectors: characters anywhere, of any size, turned, in front of and behind things that are no faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toonface_training.cartoon import backgrounds
from toonface_training.cartoon.camera import photograph
from toonface_training.cartoon.drawing import Sprite
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.identity import Identity
from toonface_training.cartoon.landmarks import Points
from toonface_training.cartoon.placing import Pixels, Pose, paste, shrunk, visible_part
from toonface_training.cartoon.sprites import Character, draw_character, headless

LEAST_VISIBLE = 0.55
"""Every face of a scene is in view by this part of its box: none is so hidden that nobody could say if it counts.

Whole pixels are counted: a small face that the edge cuts may be in view by a little less, such as 0.53.
"""

_LONGER_SIDE = (320, 481)
_ASPECTS = (1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)
_SMALLEST_FACE = 18.0
# Part of the picture's shorter side that the largest face of a scene takes, alone and among many.
_LARGEST_FACE = 0.85
_MOST_OVERLAP = 0.25
_TRIES = 8
# Members of a troupe are drawn with faces of this size, and shown up to so much larger; larger ones are drawn anew.
_DRAWN_SIDE = 128.0
_MOST_ENLARGED = 1.35


@dataclass(frozen=True)
class CrowdFace:
    """The truth about one face.

    Attributes:
        identity: whose it is.
        box: in pixels of the picture, cut at its edges.
        points: FP64 [5,2], the landmarks; they may be outside the picture.
        seen: which landmarks are in the picture and not behind something, BOOL [5].
        visible: the part of the whole box, 0 to 1, that is in view.
        angle: clockwise turn in degrees.
    """

    identity: Identity
    box: Box
    points: Points
    seen: tuple[bool, ...]
    visible: float
    angle: float


@dataclass(frozen=True, eq=False)
class Crowd:
    """A picture and the faces in it, from back to front."""

    pixels: Pixels
    faces: tuple[CrowdFace, ...]


@dataclass(frozen=True, eq=False)
class Member:
    """A character and a drawing of it, which several scenes may show."""

    identity: Identity
    character: Character


def draw_troupe(identities: Sequence[Identity], lots: np.random.Generator) -> list[Member]:
    """Draw each of the characters once, for scenes to be cast from."""
    return [Member(identity, draw_character(identity, _DRAWN_SIDE, lots)) for identity in identities]


class _Canvas:
    """A picture in the making, which takes back what would hide a face."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.owner = np.zeros(pixels.shape[:2], np.int32)
        self.faces: list[tuple[int, Identity, Box, Points, float]] = []
        self.count = 0

    def add(self, sprite: Sprite, matrix: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> int | None:
        """Paste a sprite; returns its number, or None where it would hide a face, and is not there."""
        before, owned = self.pixels.copy(), self.owner.copy()
        self.count += 1
        rows, columns, coverage = paste(self.pixels, sprite, matrix)
        self.owner[rows, columns][coverage > 127] = self.count
        if all(self.visible(number, box) >= LEAST_VISIBLE for number, _, box, _, _ in self.faces):
            return self.count
        self.pixels, self.owner = before, owned
        return None

    def visible(self, number: int, box: Box) -> float:
        return visible_part(self.owner, box, number)

    def truth(self) -> tuple[CrowdFace, ...]:
        height, width = self.owner.shape
        faces = []
        for number, identity, box, points, angle in self.faces:
            cut = Box(max(box.x1, 0), max(box.y1, 0), min(box.x2, width), min(box.y2, height))
            seen = tuple(
                bool(0 <= x < width and 0 <= y < height and self.owner[int(y), int(x)] <= number) for x, y in points
            )
            faces.append(CrowdFace(identity, cut, points, seen, self.visible(number, box), angle))
        return tuple(faces)


def crowd(
    width: int,
    height: int,
    cast: Sequence[Member],
    extras: Sequence[Member],
    lots: np.random.Generator,
    severity: float = 1.0,
) -> Crowd:
    """A scene with as many characters of `cast` as find a place, usually all.

    Args:
        width: in pixels.
        height: in pixels.
        cast: who may be in it.
        extras: whose bodies may be in it without a head, at least one.
        lots: decides everything else.
        severity: of what the camera does, as for `photograph`.
    """
    canvas = _Canvas(backgrounds.backdrop(width, height, lots))
    largest = _LARGEST_FACE * min(width, height) / math.sqrt(max(len(cast), 1)) ** lots.uniform(0.5, 1.0)
    parts: list[Member | None] = [*cast, *[None] * int(lots.integers(0, 4 if cast else 9))]
    for part in (parts[number] for number in lots.permutation(len(parts))):
        if part is None:
            _add_distraction(canvas, extras, lots)
        else:
            _add_character(canvas, part, largest, lots)
    return Crowd(photograph(canvas.pixels, lots, severity), canvas.truth())


def any_size(lots: np.random.Generator) -> tuple[int, int]:
    """Width and height of a picture: 320 to 480 pixels long, of a usual aspect."""
    longer, aspect = int(lots.integers(*_LONGER_SIDE)), float(lots.choice(_ASPECTS))
    return (longer, round(longer / aspect)) if aspect >= 1 else (round(longer * aspect), longer)


def any_angle(lots: np.random.Generator) -> float:
    """A turn in degrees: mostly upright, at times up to 35 to either side."""
    return float(lots.uniform(-10, 10) if lots.random() < 0.6 else lots.uniform(-35, 35))


def any_stretch(lots: np.random.Generator) -> float:
    """How much wider than drawn: mostly not at all, at times up to a tenth."""
    return float(np.exp(lots.uniform(-0.1, 0.1))) if lots.random() < 0.3 else 1.0


def _add_character(canvas: _Canvas, member: Member, largest: float, lots: np.random.Generator) -> None:
    height, width = canvas.pixels.shape[:2]
    smallest = min(_SMALLEST_FACE, largest)
    side = math.exp(lots.uniform(math.log(smallest), math.log(largest)))
    if side > _MOST_ENLARGED * _DRAWN_SIDE:
        character = draw_character(member.identity, side, lots)
    else:
        character = member.character.for_side(side)
    scale = side / character.face_side
    angle, stretch, mirrored = any_angle(lots), any_stretch(lots), bool(lots.random() < 0.5)
    # At times a face is cut by the edge of the picture.
    inside = -0.12 if lots.random() < 0.12 else 0.5
    for _ in range(_TRIES):
        margin = min(inside * side, 0.45 * min(width, height))
        x, y = lots.uniform(margin, (width - margin, height - margin))
        pose = Pose(x, y, side, angle, mirrored, scale, stretch)
        matrix, box, points = character.placed(pose)
        if any(_overlap(box, other) > _MOST_OVERLAP for _, _, other, _, _ in canvas.faces):
            continue
        if _inside(box, width, height) < LEAST_VISIBLE:
            continue
        number = canvas.add(character.sprite, matrix)
        if number is not None:
            canvas.faces.append((number, member.identity, box, points, angle))
            return


def _add_distraction(canvas: _Canvas, extras: Sequence[Member], lots: np.random.Generator) -> None:
    """An object, letters or a body without a head, anywhere, if it hides no face."""
    height, width = canvas.pixels.shape[:2]
    size = math.exp(lots.uniform(math.log(16), math.log(0.6 * min(width, height))))
    kind = lots.random()
    if kind < 0.25:
        sprite = backgrounds.lettering(lots)
    elif kind < 0.4:
        sprite = headless(extras[int(lots.integers(len(extras)))].character)
    else:
        sprite = backgrounds.distractor(lots)
    scale = size / max(sprite.shape[:2])
    if scale < 0.5:
        sprite, scale = shrunk(sprite, scale), 1.0
    x, y = lots.uniform((0, 0), (width, height))
    pose = Pose(x, y, size, lots.uniform(-40, 40), bool(lots.random() < 0.5), scale=scale)
    canvas.add(sprite, pose.matrix(Box(0, 0, sprite.shape[1], sprite.shape[0])))


def _overlap(one: Box, other: Box) -> float:
    """The common area, as a part of the smaller box."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    return max(width, 0.0) * max(height, 0.0) / min(one.width * one.height, other.width * other.height)


def _inside(box: Box, width: int, height: int) -> float:
    """The part of the box that is inside the picture."""
    across = min(box.x2, width) - max(box.x1, 0)
    down = min(box.y2, height) - max(box.y1, 0)
    return max(across, 0.0) * max(down, 0.0) / (box.width * box.height)
