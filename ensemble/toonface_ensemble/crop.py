"""Face crops as PaddleX makes them: the plain box, no margin, no alignment."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_contract.names import FACE_SIZE


def clip_boxes(boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Boxes FP32 [N,4] cut to a picture of that size: x within 0 and width, y within 0 and height."""
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, np.float32(0), limits)


def has_pixels(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """BOOL [N]: whether at least one pixel lies within each of the boxes [N,4], when its corners are cut to integers.

    False too for a box with a corner that is not a number.
    """
    corners = np.trunc(boxes)
    return np.asarray((corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))


def crop_faces(pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut faces out of a picture, and scale each to the embedder's size without keeping its ratio.

    The box's corners are cut to integers and the last row and column left out; the scaling is bilinear. So PaddleX
    crops (`CropByBoxes`) and its embedders resize (`ResizeImage` in their inference.yml).

    Args:
        pixels: UINT8 [H,W,3].
        boxes: FP32 [F,4], x1, y1, x2, y2 within the picture, each with at least one pixel (see `has_pixels`).

    Returns:
        UINT8 [F,112,112,3].
    """
    faces = np.empty((len(boxes), FACE_SIZE, FACE_SIZE, 3), np.uint8)
    for face, (left, top, right, bottom) in zip(faces, boxes.astype(np.intp), strict=True):
        cv2.resize(pixels[top:bottom, left:right], (FACE_SIZE, FACE_SIZE), dst=face, interpolation=cv2.INTER_LINEAR)
    return faces
