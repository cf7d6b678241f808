"""Drawn pictures to compare two forms of one network on: simple cartoon faces on a noisy background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_contract.names import FACE_SIZE

_SEED = 20_260
_SUPERSAMPLING = 4


def face_scenes(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures with a handful of faces each, from 1/20 to 3/5 of the shorter side. The same at every call.

    Returns:
        UINT8 [count,height,width,3], RGB.
    """
    random = np.random.default_rng(_SEED)
    scenes = np.empty((count, height, width, 3), np.uint8)
    for scene in scenes:
        noise = random.integers(0, 256, (max(2, height // 64), max(2, width // 64), 3), dtype=np.uint8)
        scene[:] = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        for share in (0.6, 0.3, 0.15, 0.1, 0.05):
            side = max(16, int(share * min(height, width)))
            top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
            face, opacity = _face(random, side)
            spot = scene[top : top + side, left : left + side]
            spot[:] = (face * opacity + spot * (1 - opacity)).astype(np.uint8)
    return scenes


def face_crops(count: int) -> NDArray[np.uint8]:
    """Single faces as an embedder gets them. The same at every call.

    Returns:
        UINT8 [count,112,112,3], RGB.
    """
    random = np.random.default_rng(_SEED)
    crops = np.empty((count, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    for crop in crops:
        face, opacity = _face(random, FACE_SIZE)
        crop[:] = face * opacity + random.integers(0, 256, 3) * (1 - opacity)
    return crops


def _face(random: np.random.Generator, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One face: colours FP32 [side,side,3], and opacity FP32 [side,side,1] from 0 to 1."""
    large = side * _SUPERSAMPLING
    skin, hair, ink = (tuple(map(int, random.integers(low, high, 3))) for low, high in ((140, 256), (0, 200), (0, 70)))
    colours, mask = np.zeros((large, large, 3), np.uint8), np.zeros((large, large), np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return int(x * large), int(y * large)

    for image, fill in ((colours, hair), (mask, (255,))):
        cv2.ellipse(image, at(0.5, 0.45), at(0.46, 0.44), 0, 0, 360, fill, -1)
    for image, fill in ((colours, skin), (mask, (255,))):
        cv2.ellipse(image, at(0.5, 0.56), at(0.38, 0.42), 0, 0, 360, fill, -1)
    for x in (0.35, 0.65):
        cv2.ellipse(colours, at(x, 0.5), at(0.09, 0.07), 0, 0, 360, (255, 255, 255), -1)
        cv2.circle(colours, at(x, 0.5), at(0.04, 0)[0], ink, -1)
        cv2.line(colours, at(x - 0.09, 0.38), at(x + 0.09, 0.38), ink, at(0.03, 0)[0])
    cv2.line(colours, at(0.5, 0.55), at(0.48, 0.66), ink, at(0.02, 0)[0])
    cv2.ellipse(colours, at(0.5, 0.74), at(0.15, float(random.uniform(0.02, 0.1))), 0, 0, 180, ink, at(0.03, 0)[0])
    small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in (colours, mask)]
    return small[0].astype(np.float32), small[1].astype(np.float32)[:, :, None] / 255
