"""Augmentation that suits drawings: other framings, scales and light of pictures that hold a good deal of variety."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.batches import Pixels

Affine = NDArray[np.float64]
"""FP64 [2,3], from a picture's pixels to those of the training picture."""

# As the detector's canvas is filled where a picture does not reach (`toonface_ensemble.placement.PADDING_RGB`).
_PADDING = (123, 117, 104)
_TRIES = 10
# A face is learned if so much of it is in the window; windows that show less of a face, but some, are avoided.
_LEAST_IN_VIEW, _NEXT_TO_NONE = 0.6, 0.05


@dataclass(frozen=True)
class WindowOfScene:
    """A square window on a scene, mirrored or not, larger or smaller than life; see `SceneAugmentation`.

    With the default scales the faces of generated scenes are as large as the levels of the served pyramid show them:
    from what the smallest anchor finds to somewhat beyond the largest.

    Attributes:
        scale: least and most by which the picture is multiplied, whatever the size of the window.
        light: how far brightness, contrast and tint go, in parts.
    """

    scale: tuple[float, float] = (0.4, 1.5)
    light: float = 0.15

    def __call__(
        self, picture: Pixels, boxes: NDArray[np.float32], size: int, rng: np.random.Generator
    ) -> tuple[Pixels, NDArray[np.float32], NDArray[np.intp]]:
        """See `SceneAugmentation`."""
        for _ in range(_TRIES):
            matrix = self._window(picture.shape[1], picture.shape[0], size, rng)
            moved = _moved(boxes, matrix)
            inside = moved.clip(0, size)
            part = _area(inside) / np.maximum(_area(moved), 1e-9)
            if not ((part < _LEAST_IN_VIEW) & (part > _NEXT_TO_NONE)).any():
                break
        rows = np.flatnonzero(part >= _LEAST_IN_VIEW)
        return _lit(_warped(picture, matrix, size, _PADDING), self.light, rng), inside[rows].astype(np.float32), rows

    def _window(self, width: int, height: int, size: int, rng: np.random.Generator) -> Affine:
        scale = math.exp(rng.uniform(*np.log(self.scale)))
        # Where the picture is larger than the window, the window is within it; else the picture is within the window.
        x, y = (rng.uniform(min(room, 0), max(room, 0)) for room in (size - scale * width, size - scale * height))
        if rng.random() < 0.5:
            return np.array([[-scale, 0, x + scale * width], [0, scale, y]])
        return np.array([[scale, 0, x], [0, scale, y]])


@dataclass(frozen=True)
class CropOfFace:
    """A face's box as a detector may give it, mirrored or not, stretched to the training size; see `FaceAugmentation`.

    Attributes:
        shift: least and most of the standard deviation of its edges' errors, in parts of the box's side.
        turned: how often the face is turned beyond what it is in the picture.
        most_turned: how far then, in degrees to either side.
        light: how far brightness, contrast and tint go, in parts.
        cut: how often the box ends within the face, as it does where the edge of a picture cuts one.
        most_cut: the largest part of a side that is then missing.
        cover: how often a rectangle of one colour hides a part of the face.
        coarse: how often the face is seen from afar, in fewer pixels than the crop has.
        coarse_sides: fewest and most of them to a side.
    """

    shift: tuple[float, float] = (0.02, 0.09)
    turned: float = 0.4
    most_turned: float = 25.0
    light: float = 0.08
    cut: float = 0.12
    most_cut: float = 0.45
    cover: float = 0.15
    coarse: float = 0.35
    coarse_sides: tuple[int, int] = (16, 48)

    def __call__(self, picture: Pixels, box: NDArray[np.float32], size: int, rng: np.random.Generator) -> Pixels:
        """See `FaceAugmentation`."""
        sides = np.tile(box[2:] - box[:2], 2)
        error = rng.uniform(*self.shift) * rng.standard_normal(4).clip(-2.5, 2.5)
        left, top, right, bottom = box + sides * (error + self._cut_off(rng))
        coarse = rng.random() < self.coarse
        side = min(size, round(math.exp(rng.uniform(*np.log(self.coarse_sides))))) if coarse else size
        matrix = _upon(side, (left, top, right, bottom), self._turn(rng))
        if rng.random() < 0.5:
            matrix[0] *= -1
            matrix[0, 2] += side
        face = _warped(picture, matrix, side, None)
        if side < size:
            face = np.asarray(cv2.resize(face, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
        face = _lit(face, self.light, rng)
        if rng.random() < self.cover:
            width, height = rng.integers(size // 8, size // 2, 2)
            x, y = rng.integers(0, (size - width, size - height))
            face[y : y + height, x : x + width] = rng.integers(0, 256, 3)
        return face

    def _turn(self, rng: np.random.Generator) -> float:
        """How far the face is turned, in radians."""
        return math.radians(rng.uniform(-self.most_turned, self.most_turned)) if rng.random() < self.turned else 0.0

    def _cut_off(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """How far each edge of the box moves into the face, FP64 [4] in parts of the side: one edge at most."""
        moved = np.zeros(4)
        if rng.random() < self.cut:
            edge = int(rng.integers(4))
            moved[edge] = rng.uniform(0, self.most_cut) * (1 if edge < 2 else -1)
        return moved


def _upon(side: int, box: Sequence[float], turn: float) -> Affine:
    """The map of a box, turned about its middle by radians, to a square picture.

    What is mapped is the upright box around the turned ellipse that the box holds: a face's, roughly.
    """
    left, top, right, bottom = box
    across, down = (right - left) / 2, (bottom - top) / 2
    cosine, sine = math.cos(turn), math.sin(turn)
    along_x = side / 2 / math.hypot(across * cosine, down * sine)
    along_y = side / 2 / math.hypot(across * sine, down * cosine)
    linear = np.array([[along_x * cosine, -along_x * sine], [along_y * sine, along_y * cosine]])
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    return np.column_stack([linear, side / 2 - linear @ middle])


def _warped(picture: Pixels, matrix: Affine, size: int, padding: tuple[int, int, int] | None) -> Pixels:
    """The picture moved into UINT8 [size,size,3]; what is outside of it has the padding's colour, or its edge's."""
    shrink = min(abs(matrix[0, 0]), matrix[1, 1])
    matrix = matrix.copy()
    if shrink < 0.7:
        # A warp looks at four pixels; averaged over areas first, the others count too.
        height, width = picture.shape[:2]
        smaller = max(round(width * shrink), 1), max(round(height * shrink), 1)
        picture = np.asarray(cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, 0] *= width / smaller[0]
        matrix[:, 1] *= height / smaller[1]
    # From edges of pixels to their middles.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5
    border = cv2.BORDER_REPLICATE if padding is None else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(
        picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=padding or (0, 0, 0)
    )
    return np.asarray(warped, np.uint8)


def _lit(pixels: Pixels, most: float, rng: np.random.Generator) -> Pixels:
    """Under another light: gain, tint and contrast by up to `most` of each, in a table of the 256 values."""
    gain = (1 + rng.uniform(-most, most)) * (1 + rng.uniform(-most / 3, most / 3, 3))
    contrast, offset = 1 + rng.uniform(-most, most), 70 * rng.uniform(-most, most)
    table = (np.arange(256)[:, None] * gain - 128) * contrast + 128 + offset
    return np.asarray(cv2.LUT(pixels, np.clip(np.rint(table), 0, 255).astype(np.uint8)[None]), np.uint8)


def _moved(boxes: NDArray[np.float32], matrix: Affine) -> NDArray[np.float64]:
    """Boxes [n,4] after an affine map without a turn, FP64 [n,4]."""
    x = boxes[:, [0, 2]] * matrix[0, 0] + matrix[0, 2]
    y = boxes[:, [1, 3]] * matrix[1, 1] + matrix[1, 2]
    return np.stack([x.min(axis=1), y[:, 0], x.max(axis=1), y[:, 1]], axis=1)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1))
