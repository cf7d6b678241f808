"""The least that one would do to training pictures: half of them are mirrored, all are stretched to the size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.batches import Pixels


def plain_scene(
    picture: Pixels, boxes: NDArray[np.float32], size: int, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.intp]]:
    """See `SceneAugmentation`."""
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    scale = np.array([size / width, size / height] * 2, np.float32)
    return _resize(picture, size), boxes * scale, np.arange(len(boxes))


def plain_face(picture: Pixels, box: NDArray[np.float32], size: int, rng: np.random.Generator) -> Pixels:
    """See `FaceAugmentation`."""
    left, top, right, bottom = box.astype(int)
    face = picture[top:bottom, left:right]
    if rng.random() < 0.5:
        face = np.ascontiguousarray(face[:, ::-1])
    return _resize(face, size)


def _resize(picture: Pixels, size: int) -> Pixels:
    shrinking = size < min(picture.shape[:2])
    resized = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
