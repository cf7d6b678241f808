"""Pictures of characters with the truth about them: which faces are where, and how much of each is in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import Sprite, draw
from toonface_training.cartoon.face_box import Box, face_box
from toonface_training.cartoon.identity import Identity, vary

Pixels = NDArray[np.uint8]
"""A picture: UINT8 [H,W,3], RGB."""

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


@dataclass(frozen=True, slots=True)
class Pose:
    """How a character is put into a scene.

    Attributes:
        x: centre of its face, in pixels of the scene.
        y: centre of its face, in pixels of the scene.
        face_side: longer side of its upright face, in pixels.
        angle: clockwise turn, in degrees.
        mirrored: whether left and right are exchanged.
    """

    x: float
    y: float
    face_side: float
    angle: float = 0.0
    mirrored: bool = False

    def matrix(self, face: Box) -> NDArray[np.float64]:
        """FP64 [2,3], the affine map from the sprite that shows `face` (in its pixels) to the scene."""
        turn = math.radians(self.angle)
        cosine, sine, flip = math.cos(turn), math.sin(turn), -1 if self.mirrored else 1
        linear = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
        return np.column_stack([linear, np.array([self.x, self.y]) - linear @ face.centre])


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
    _paste(canvas, sprite, np.eye(2, 3))
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
    _paste(pixels, sprite, np.array([[1.0, 0.0, x], [0.0, 1.0, y]]))


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
        coverage = _paste(pixels, sprite, matrix)
        owner[coverage > 0.5] = number
        boxes.append(_moved_box(face, matrix))
    faces = tuple(
        SceneFace(identity, box, _visible(owner, box, number))
        for number, ((identity, _), box) in enumerate(zip(placed, boxes, strict=True), start=1)
    )
    return Scene(pixels, faces)


def _sprite(identity: Identity, face_side: float, lots: np.random.Generator) -> tuple[Sprite, Box]:
    """A picture of the character whose face has the longer side `face_side`, and the face's box in its pixels."""
    box = face_box(identity.style.name, identity.head)
    side = round(face_side / max(box.width, box.height))
    return draw(identity.style.name, vary(identity, lots), side), box.scaled(side)


def _paste(pixels: Pixels, sprite: Sprite, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Draw a sprite into `pixels`, in place; returns how much it covers of each pixel, FP32 [H,W], 0 to 1."""
    # Colour weighted by alpha: otherwise the black of transparent pixels bleeds into the edges.
    weighted = sprite.astype(np.float32)
    weighted[..., :3] *= weighted[..., 3:] / 255
    # Only the rectangle that the sprite reaches is worked on; its edges are soft, and reach a pixel further.
    height, width = sprite.shape[:2]
    corners = np.array([[-1, -1], [width, -1], [-1, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    size = pixels.shape[1::-1]
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, size)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, size)
    coverage = np.zeros(pixels.shape[:2], np.float32)
    if left < right and top < bottom:
        moved = cv2.warpAffine(weighted, matrix - [[0, 0, left], [0, 0, top]], (int(right - left), int(bottom - top)))
        part = coverage[top:bottom, left:right]
        part[:] = moved[..., 3] / 255
        view = pixels[top:bottom, left:right]
        view[:] = np.clip(np.rint(moved[..., :3] + view * (1 - part[..., None])), 0, 255).astype(np.uint8)
    return coverage


def _moved_box(face: Box, matrix: NDArray[np.float64]) -> Box:
    """The box, in the scene, of the ellipse that fits into `face`: of a turned face, not of a turned rectangle."""
    half = np.sqrt(((matrix[:, :2] * [face.width / 2, face.height / 2]) ** 2).sum(axis=1))
    x, y = matrix[:, :2] @ face.centre + matrix[:, 2]
    return Box(float(x - half[0]), float(y - half[1]), float(x + half[0]), float(y + half[1]))


def _visible(owner: NDArray[np.int32], box: Box, number: int) -> float:
    """The part of a box that is inside the picture and not behind a character drawn after `number`."""
    height, width = owner.shape
    inside = owner[
        max(round(box.y1), 0) : min(round(box.y2), height), max(round(box.x1), 0) : min(round(box.x2), width)
    ]
    return min(float((inside <= number).sum()) / (box.width * box.height), 1.0)
