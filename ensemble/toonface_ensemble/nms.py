"""Non-maximum suppression of detections, with the semantics of Paddle's `multiclass_nms3` for one class.

Source: paddle/phi/kernels/cpu/multiclass_nms3_kernel.cc, with `nms_eta` 1 (no adaptive threshold), which every
detector of PaddleX uses. All arithmetic is in single precision, as there.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class NmsParameters(BaseModel):
    """The parameters of a detector's own NMS, read from its graph at export. Travels as JSON in `crop_align`'s config.

    Attributes:
        iou_threshold: a box is dropped when its overlap with a better one is more than this (`nms_threshold`).
        max_candidates: so many of the highest scores take part (`nms_top_k`); -1 is all.
        max_faces: so many are kept at most (`keep_top_k`); -1 is all.
        normalized: if false, a box includes its last pixel: its width is x2 - x1 + 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iou_threshold: float = Field(ge=0, le=1)
    max_candidates: PositiveInt | Literal[-1]
    max_faces: PositiveInt | Literal[-1]
    normalized: bool


def select_faces(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, parameters: NmsParameters
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keep the best of overlapping boxes.

    Args:
        boxes: FP32 [A,4], x1, y1, x2, y2 in pixels of the picture.
        scores: FP32 [A], 0 to 1.
        threshold: boxes that score strictly more take part.
        parameters: of the detector.

    Returns:
        The kept boxes FP32 [N,4] and their scores FP32 [N], the highest score first; of equal scores, in the order in
        which they came.
    """
    # Paddle suppresses first and PaddleX holds the survivors against the threshold afterwards. The outcome is the same:
    # a box is suppressed only by one with a higher score, and both limits cut from the low end.
    passing = np.flatnonzero(scores > np.float32(threshold))
    order = passing[np.argsort(-scores[passing], kind="stable")]
    if parameters.max_candidates != -1:
        order = order[: parameters.max_candidates]
    most = len(order) if parameters.max_faces == -1 else parameters.max_faces

    edge = np.float32(0 if parameters.normalized else 1)
    corners = boxes[order].T.copy()  # [4,N]: operations on whole rows are faster than on columns
    kept: list[np.intp] = []
    while len(order) and len(kept) < most:
        kept.append(order[0])
        # Not `overlap > threshold`: two boxes without area overlap by 0/0, and Paddle then drops the second.
        apart = _overlaps(corners[:, :1], corners[:, 1:], edge) <= np.float32(parameters.iou_threshold)
        order, corners = order[1:][apart], corners[:, 1:].compress(apart, axis=1)
    return boxes[kept], scores[kept]


def _overlaps(box: NDArray[np.float32], others: NDArray[np.float32], edge: np.float32) -> NDArray[np.float32]:
    """Intersection over union, FP32 [N], of a box [4,1] with others [4,N]; 0 where they do not even touch."""
    left, top = np.maximum(box[:2], others[:2])
    right, bottom = np.minimum(box[2:], others[2:])
    intersections = (right - left + edge) * (bottom - top + edge)
    touching = ((others[:2] <= box[2:]) & (others[2:] >= box[:2])).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        overlaps = intersections / (_areas(box, edge) + _areas(others, edge) - intersections)
    return np.where(touching, overlaps, np.float32(0))


def _areas(boxes: NDArray[np.float32], edge: np.float32) -> NDArray[np.float32]:
    """Areas FP32 [N] of boxes [4,N]; 0 where the corners are the wrong way round."""
    widths, heights = boxes[2:] - boxes[:2]
    proper = (widths >= 0) & (heights >= 0)
    return np.where(proper, (widths + edge) * (heights + edge), np.float32(0))
