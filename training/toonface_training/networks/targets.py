"""What a detector takes in training, from plain arrays; each of the three families lays faces out in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_training.networks.catalogue import DETECTORS

# PaddleX trains BlazeFace with room for this many faces in a picture (PadBox in its training files).
BLAZE_FACES = 90


def training_inputs(
    name: str,
    images: NDArray[np.float32],
    boxes: Sequence[NDArray[np.float32]],
    classes: Sequence[NDArray[np.int64]],
    epoch: int = 0,
) -> dict[str, Any]:
    """The dict that the detector `name` takes in training mode.

    Args:
        name: PaddleX's name of the detector.
        images: [B, 3, H, W], normalised.
        boxes: for each picture [n, 4]: x1, y1, x2, y2 in pixels of `images`; n may be 0. BlazeFace learns from the
            `BLAZE_FACES` largest of a picture.
        classes: for each picture [n], from 0.
        epoch: from 0; PP-YOLOE assigns faces to cells in another way after its first 30 epochs.

    Returns:
        Paddle tensors, by the names that the network expects.
    """
    import paddle

    inputs: dict[str, Any] = {"image": paddle.to_tensor(images), "epoch_id": epoch}
    family = DETECTORS[name].family
    if family == "GFL":
        inputs["im_id"] = paddle.arange(len(images))
        inputs["gt_bbox"] = [paddle.to_tensor(each.reshape(-1, 4)) for each in boxes]
        inputs["gt_class"] = [paddle.to_tensor(each.reshape(-1, 1).astype(np.int64)) for each in classes]
        return inputs
    room = BLAZE_FACES if family == "Face" else max(1, *(len(each) for each in boxes))
    padded_boxes = np.zeros((len(images), room, 4), np.float32)
    padded_classes = np.zeros((len(images), room), np.int64)
    real = np.zeros((len(images), room, 1), np.float32)
    for row, (own_boxes, own_classes) in enumerate(zip(boxes, classes, strict=True)):
        largest = _largest(own_boxes, room)
        padded_boxes[row, : len(largest)] = own_boxes[largest]
        padded_classes[row, : len(largest)] = own_classes[largest]
        real[row, : len(largest)] = 1
    if family == "Face":
        height, width = images.shape[2:]
        inputs["gt_bbox"] = paddle.to_tensor(padded_boxes / np.array([width, height, width, height], np.float32))
        inputs["gt_class"] = paddle.to_tensor(padded_classes)
        return inputs
    inputs["gt_bbox"] = paddle.to_tensor(padded_boxes)
    inputs["gt_class"] = paddle.to_tensor(padded_classes[..., None])
    inputs["pad_gt_mask"] = paddle.to_tensor(real)
    return inputs


def _largest(boxes: NDArray[np.float32], room: int) -> NDArray[np.intp]:
    """The rows of the `room` largest boxes, in their own order."""
    if len(boxes) <= room:
        return np.arange(len(boxes))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.sort(np.argsort(-areas, kind="stable")[:room])
