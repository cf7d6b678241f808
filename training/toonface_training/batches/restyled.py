"""Some identities drawn in another manner: more styles than a dataset has, for an embedder to generalise from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.batches import Pixels

# Of the restyled identities, those that become drawings in ink; the others get other colours and lines.
_INKED = 0.6
# Lines look for their surroundings so far, and grow or shrink by so much, in parts of the face's side.
_REACH, _GROWTH = (0.02, 0.07), 0.012
# How much of what it was painted in shines through the ink, and how saturated other colours are.
_PAINT, _SATURATION = (0.0, 0.9), (0.0, 1.2)
_DARKEST_PAPER = 190
_CONTRAST = (0.8, 2.2)


@dataclass(frozen=True)
class Restyled:
    """Redraws the pictures of a share of the identities, all pictures of one in the same manner.

    Either in ink: flat areas become paper, edges and lines stay, as in pencil sketches by dodging (a picture divided by
    the lightest of its surroundings). Or with other hues, more or less saturated, and thicker or thinner lines.

    Attributes:
        share: of the identities, 0 to 1.
        seed: decides, with the label, which and how.
    """

    share: float
    seed: int

    def __call__(self, picture: Pixels, box: NDArray[np.float32], label: int) -> Pixels:
        """The picture UINT8 [H,W,3] in the manner of its identity.

        Args:
            picture: UINT8 [H,W,3], RGB.
            box: of the face, FP32 [4], x1, y1, x2, y2 in pixels.
            label: of the identity, from 0.
        """
        lots = np.random.default_rng([self.seed, label])
        if lots.random() >= self.share:
            return picture
        side = float(max(box[2] - box[0], box[3] - box[1]))
        return _inked(picture, side, lots) if lots.random() < _INKED else _recoloured(picture, side, lots)


def _inked(picture: Pixels, side: float, lots: np.random.Generator) -> Pixels:
    reach, paint, contrast = lots.uniform(*_REACH), lots.uniform(*_PAINT), lots.uniform(*_CONTRAST)
    paper = lots.integers(_DARKEST_PAPER, 256, 3)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    lines = cv2.divide(grey, cv2.dilate(grey, _disc(reach * side)), scale=255)
    table = 255 * (np.arange(256) / 255) ** contrast
    lines = cv2.LUT(lines, table.astype(np.uint8))
    # Where there is no line, paper and paint; a line takes from both.
    base = cv2.addWeighted(picture, paint, np.full_like(picture, paper), 1 - paint, 0)
    return np.asarray(cv2.multiply(base, cv2.merge([lines] * 3), scale=1 / 255), np.uint8)


def _recoloured(picture: Pixels, side: float, lots: np.random.Generator) -> Pixels:
    turn, saturation = lots.uniform(0, 2 * math.pi), lots.uniform(*_SATURATION)
    growth = lots.uniform(-_GROWTH, _GROWTH) * side
    if abs(growth) >= 0.5:
        picture = np.asarray((cv2.erode if growth > 0 else cv2.dilate)(picture, _disc(abs(growth))), np.uint8)
    # A turn of the colour cube about its diagonal, from black to white, and a pull towards it (Rodrigues' formula).
    axis = np.full(3, 1 / math.sqrt(3))
    along = np.outer(axis, axis)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    matrix = along + saturation * (math.cos(turn) * (np.eye(3) - along) + math.sin(turn) * across)
    return np.asarray(cv2.transform(picture, matrix), np.uint8)


def _disc(radius: float) -> NDArray[np.uint8]:
    """A kernel at least one pixel to each side of its middle."""
    size = 2 * max(round(radius), 1) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
