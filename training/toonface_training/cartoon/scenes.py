"""Pictures of characters with the truth about them: which faces are where, and how much of each is in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toonface_training.cartoon.drawing import Sprite, draw
from toonface_training.cartoon.face_box import Box, face_box
from toonface_training.cartoon.identity import Identity, vary
from toonface_training.cartoon.placing import Pixels, Pose, moved_box, paste, visible_part

# Each character of a group has a cell of the picture; its face takes this part of the cell's shorter side.
_FACE_IN_CELL = (0.45, 0.62)
# Bodies reach below the face, so a cell that is a little taller than wide suits a character best.
_CELL_ASPECT = 0.85
_TRIES = 20


@dataclass(frozen=True)
class SceneFace:
    """The truth about one face of a scene.

    Attributes:
        identity: whose face it is.
        box: where it is, in pixels of the scene; it may reach over the edge.
        visible: the part of the box, 0 to 1, that is inside the picture and not behind another character.
    """

    identity: Identity
    box: Box
    visible: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, and the faces in it in the order in which they were drawn, from back to front."""

    pixels: Pixels
    faces: tuple[SceneFace, ...]


def portrait(identity: Identity, side: int, background: tuple[int, int, int], lots: np.random.Generator) -> Pixels:
    """The face of a character, upright and cut to its box, as galleries of PaddleX hold faces.

    Args:
        identity: whose face.
        side: longer side of the picture, in pixels.
        background: RGB, 0 to 255.
        lots: decides expression, clothes and light.

    Returns:
        UINT8 [H,W,3] RGB with max(H,W) = side.
    """
    sprite, face = _sprite(identity, side, lots)
    canvas = np.full((*sprite.shape[:2], 3), background, np.uint8)
    paste(canvas, sprite, np.eye(2, 3))
    left, top, right, bottom = (round(value) for value in (face.x1, face.y1, face.x2, face.y2))
    return light(np.ascontiguousarray(canvas[top:bottom, left:right]), lots)


def group_scene(
    background: Pixels, cast: Sequence[Identity], lots: np.random.Generator, *, least_visible: float = 0.85
) -> Scene:
    """Characters side by side, in rows as for a group photograph, the front row last.

    Args:
        background: UINT8 [H,W,3] RGB; it is not changed.
        cast: who is in the picture, from the back row to the front row, each row from left to right.
        lots: decides expressions, clothes, poses, sizes and the light.
        least_visible: how much of each face must be in view, 0 to 1.

    Raises:
        ValueError: no arrangement was found that shows every face so far.
    """
    for _ in range(_TRIES):
        poses = _group_poses(background.shape[1], background.shape[0], len(cast), lots)
        scene = _draw_scene(background, list(zip(cast, poses, strict=True)), lots)
        if all(face.visible >= least_visible for face in scene.faces):
            return Scene(light(scene.pixels, lots), scene.faces)
    height, width = background.shape[:2]
    raise ValueError(f"{len(cast)} characters do not fit into {width} x {height} pixels with their faces in view")


def paste_thing(pixels: Pixels, sprite: Sprite, x: int, y: int) -> None:
    """Draw `sprite` into `pixels`, in place, its top left corner at (x, y)."""
    paste(pixels, sprite, np.array([[1.0, 0.0, x], [0.0, 1.0, y]]))


def light(pixels: Pixels, lots: np.random.Generator) -> Pixels:
    """Another brightness, contrast and tint, drawn by lot. Returns a new picture of the same shape."""
    gain = lots.uniform(0.85, 1.15) * lots.uniform(0.96, 1.04, 3)
    contrast, offset = lots.uniform(0.85, 1.15), lots.uniform(-12, 12)
    lit = (pixels * gain - 128) * contrast + 128 + offset
    return np.asarray(np.clip(np.rint(lit), 0, 255), dtype=np.uint8)


def _group_poses(width: int, height: int, count: int, lots: np.random.Generator) -> list[Pose]:
    """One pose for each of `count` characters, row by row."""

    def misfit(rows: int) -> float:
        return abs(math.log(width / math.ceil(count / rows) / (height / rows) / _CELL_ASPECT))

    rows = min(range(1, count + 1), key=misfit)
    poses = []
    for row, members in enumerate(np.array_split(np.arange(count), rows)):
        cell_width, cell_height = width / len(members), height / rows
        for column in range(len(members)):
            shift_x, shift_y = lots.uniform(-0.08, 0.08, 2)
            poses.append(
                Pose(
                    x=(column + 0.5 + shift_x) * cell_width,
                    y=(row + 0.48 + shift_y) * cell_height,
                    face_side=lots.uniform(*_FACE_IN_CELL) * min(cell_width, cell_height),
                    angle=lots.uniform(-10, 10),
                    mirrored=bool(lots.random() < 0.5),
                )
            )
    return poses


def _draw_scene(background: Pixels, placed: Sequence[tuple[Identity, Pose]], lots: np.random.Generator) -> Scene:
    pixels = background.copy()
    # Which character each pixel shows, counted from 1.
    owner = np.zeros(pixels.shape[:2], np.int32)
    boxes = []
    for number, (identity, pose) in enumerate(placed, start=1):
        sprite, face = _sprite(identity, pose.face_side, lots)
        matrix = pose.matrix(face)
        rows, columns, coverage = paste(pixels, sprite, matrix)
        owner[rows, columns][coverage > 127] = number
        boxes.append(moved_box(face, matrix))
    faces = tuple(
        SceneFace(identity, box, visible_part(owner, box, number))
        for number, ((identity, _), box) in enumerate(zip(placed, boxes, strict=True), start=1)
    )
    return Scene(pixels, faces)


def _sprite(identity: Identity, face_side: float, lots: np.random.Generator) -> tuple[Sprite, Box]:
    """A picture of the character whose face has the longer side `face_side`, and the face's box in its pixels."""
    box = face_box(identity.style.name, identity.head)
    side = round(face_side / max(box.width, box.height))
    return draw(identity.style.name, vary(identity, lots), side), box.scaled(side)
