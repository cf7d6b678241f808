"""Putting sprites into pictures: the pose, the pasting, and what becomes of boxes and points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import Sprite
from toonface_training.cartoon.face_box import Box

Pixels = NDArray[np.uint8]
"""A picture: UINT8 [H,W,3], RGB."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a character is put into a picture.

    Attributes:
        x: centre of its face, in pixels of the picture.
        y: centre of its face, in pixels of the picture.
        face_side: longer side of its upright face, in pixels, before `scale` and `stretch`.
        angle: clockwise turn, in degrees.
        mirrored: whether left and right are exchanged.
        scale: how much larger than its sprite it is shown.
        stretch: how much wider than drawn it is shown; its height shrinks by as much.
    """

    x: float
    y: float
    face_side: float
    angle: float = 0.0
    mirrored: bool = False
    scale: float = 1.0
    stretch: float = 1.0

    def matrix(self, face: Box) -> NDArray[np.float64]:
        """FP64 [2,3], the affine map from the sprite that shows `face` (in its pixels) to the picture."""
        turn = math.radians(self.angle)
        cosine, sine = math.cos(turn), math.sin(turn)
        along_x = self.scale * self.stretch * (-1 if self.mirrored else 1)
        along_y = self.scale / self.stretch
        linear = np.array([[along_x * cosine, -along_y * sine], [along_x * sine, along_y * cosine]])
        return np.column_stack([linear, np.array([self.x, self.y]) - linear @ face.centre])


def paste(pixels: Pixels, sprite: Sprite, matrix: NDArray[np.float64]) -> tuple[slice, slice, NDArray[np.uint8]]:
    """Draw a sprite into `pixels`, in place.

    Args:
        pixels: the picture.
        sprite: UINT8 [H,W,4] RGBA with straight alpha.
        matrix: FP64 [2,3], from the sprite's pixels to the picture's.

    Returns:
        The rows and columns of the picture that the sprite may reach, and how much it covers of each pixel there,
        UINT8 [rows,columns], 255 for all of it. They are empty where the sprite is outside the picture.
    """
    # Only the rectangle that the sprite reaches is worked on; its edges are soft, and reach a pixel further.
    height, width = sprite.shape[:2]
    corners = np.array([[-1, -1], [width, -1], [-1, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    size = pixels.shape[1::-1]
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, size).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, size).tolist()
    rows, columns = slice(top, bottom), slice(left, right)
    if left >= right or top >= bottom:
        return slice(0, 0), slice(0, 0), np.zeros((0, 0), np.uint8)
    # Colour weighted by alpha: otherwise the black of transparent pixels bleeds into the edges.
    weighted = sprite.copy()
    alpha = cv2.cvtColor(sprite[..., 3], cv2.COLOR_GRAY2RGB)
    weighted[..., :3] = cv2.multiply(sprite[..., :3], alpha, scale=1 / 255)
    moved = cv2.warpAffine(weighted, matrix - [[0, 0, left], [0, 0, top]], (right - left, bottom - top))
    coverage = np.ascontiguousarray(moved[..., 3])
    view = pixels[rows, columns]
    around = cv2.cvtColor(cv2.bitwise_not(coverage), cv2.COLOR_GRAY2RGB)
    view[:] = cv2.add(np.ascontiguousarray(moved[..., :3]), cv2.multiply(view, around, scale=1 / 255))
    return rows, columns, coverage


def shrunk(sprite: Sprite, scale: float) -> Sprite:
    """The sprite at `scale` (below 1) of its size, averaged over areas, so that warping it makes no jags."""
    height, width = sprite.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    # Colour weighted by alpha, as in `paste`.
    weighted = sprite.astype(np.float32)
    weighted[..., :3] *= weighted[..., 3:] / 255
    small = np.asarray(cv2.resize(weighted, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.asarray(np.clip(np.rint(small), 0, 255), dtype=np.uint8)


def moved_box(face: Box, matrix: NDArray[np.float64]) -> Box:
    """The box, in the picture, of the ellipse that fits into `face`: of a turned face, not of a turned rectangle."""
    half = np.sqrt(((matrix[:, :2] * [face.width / 2, face.height / 2]) ** 2).sum(axis=1))
    x, y = matrix[:, :2] @ face.centre + matrix[:, 2]
    return Box(float(x - half[0]), float(y - half[1]), float(x + half[0]), float(y + half[1]))


def visible_part(owner: NDArray[np.int32], box: Box, number: int) -> float:
    """The part of a box that is inside the picture and not behind what was drawn after `number`.

    Args:
        owner: INT32 [H,W], which sprite each pixel shows, counted from 1 in the order of drawing; 0 is the background.
        box: in pixels of the picture.
        number: the sprite whose box it is.
    """
    height, width = owner.shape
    inside = owner[
        max(round(box.y1), 0) : min(round(box.y2), height), max(round(box.x1), 0) : min(round(box.x2), width)
    ]
    return min(float((inside <= number).sum()) / (box.width * box.height), 1.0)
