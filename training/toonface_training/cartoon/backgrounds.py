"""What characters stand in front of, and things near them that are no faces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import Sprite, draw

# DiceBear styles that show no face, all CC0.
SCENERY = ("landscape", "waves", "triangles")
THINGS = ("planets", "rings", "shapes")


def scenery(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """A drawn landscape or pattern, UINT8 [height,width,3], RGB."""
    side = max(width, height)
    drawn = draw(str(lots.choice(SCENERY)), {"seed": str(lots.integers(1 << 30))}, side)[..., :3]
    # The lower part of a landscape is the ground: keep it.
    return np.ascontiguousarray(drawn[side - height :, (side - width) // 2 :][:, :width])


def gradient(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """A soft run of four colours, one from each corner, UINT8 [height,width,3], RGB."""
    corners = lots.integers(60, 256, (2, 2, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def thing(side: int, lots: np.random.Generator) -> Sprite:
    """A drawn object that is no face, UINT8 [side,side,4], RGBA."""
    return draw(str(lots.choice(THINGS)), {"seed": str(lots.integers(1 << 30))}, side)
