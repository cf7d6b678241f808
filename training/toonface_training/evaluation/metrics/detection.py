"""Are the faces found? Precision and recall as deployed, and over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_training.evaluation.metrics.rate import Rate

# A box is a face's when they overlap by at least this, as in AP@0.5.
SAME_FACE_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces that a detector sees in one picture.

    Attributes:
        boxes: FP32 [N,4], x1, y1, x2, y2 in pixels of the picture.
        scores: FP32 [N], 0 to 1, falling.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def above(self, threshold: float) -> Detections:
        """Those that score strictly more, as PaddleX counts."""
        kept = self.scores > np.float32(threshold)
        return Detections(self.boxes[kept], self.scores[kept])


@dataclass(frozen=True, eq=False)
class TrueFaces:
    """The faces that are in one picture.

    Attributes:
        boxes: FP32 [M,4], x1, y1, x2, y2 in pixels of the picture.
        ignored: BOOL [M]: neither finding nor missing these counts (COCO's `iscrowd`). Such a box may be of many faces.
    """

    boxes: NDArray[np.float32]
    ignored: NDArray[np.bool_]

    @classmethod
    def at(cls, boxes: NDArray[np.float32]) -> TrueFaces:
        """Faces that all count."""
        return cls(boxes, np.zeros(len(boxes), np.bool_))


def match_faces(found: Detections, true: TrueFaces, iou: float = SAME_FACE_IOU) -> NDArray[np.int64]:
    """Which face each detection is of, in the way of COCO: the best takes the free face that it overlaps most.

    Args:
        found: the detections of one picture.
        true: its faces.
        iou: overlap (intersection over union) from which on a box is a face's. Of an ignored box, which may be of many
            faces, it is the part of the detection that lies in it.

    Returns:
        INT64 [N]: for each detection the row of its face, or -1. Detections that no face is left for are given to
        ignored boxes, any number to each.
    """
    overlaps = box_overlaps(found.boxes, true.boxes)
    overlaps[:, true.ignored] = _parts_within(found.boxes, true.boxes[true.ignored])
    given = np.full(len(overlaps), -1, np.int64)
    free = ~true.ignored
    for row in np.argsort(-found.scores, kind="stable"):
        for kind in (free, true.ignored):
            candidates = np.where(kind, overlaps[row], -1.0)
            if len(candidates) and candidates.max() >= iou:
                given[row] = candidates.argmax()
                free[given[row]] = False
                break
    return given


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a deployed threshold does.

    Attributes:
        threshold: a face counts when it scores strictly more.
        precision: detections that are faces.
        recall: faces that are detected.
        pictures_right: pictures in which every face is found and nothing else.
    """

    threshold: float
    precision: Rate
    recall: Rate
    pictures_right: Rate


def operating_point(
    found: Sequence[Detections], truth: Sequence[TrueFaces], threshold: float, iou: float = SAME_FACE_IOU
) -> OperatingPoint:
    """Precision and recall at a deployed `det_threshold`.

    Args:
        found: for each picture, what the detector sees, also below the threshold.
        truth: for each picture, what is there.
        threshold: of the score.
        iou: overlap from which on a box is a face's.
    """
    detections = hits = faces = right = 0
    for seen, true in zip(found, truth, strict=True):
        counted, given = _counted(seen.above(threshold), true, iou)
        detections += len(counted)
        hits += int(counted.sum())
        faces += int((~true.ignored).sum())
        right += int(counted.all() and counted.sum() == (~true.ignored).sum())
    return OperatingPoint(threshold, Rate(hits, detections), Rate(hits, faces), Rate(right, len(truth)))


def precision_recall(
    found: Sequence[Detections], truth: Sequence[TrueFaces], iou: float = SAME_FACE_IOU
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """The curve of precision over recall.

    Returns:
        Precision FP64 [N], recall FP64 [N] and threshold FP32 [N], one for each detection that counts, the highest
        score first. N is 0 when there is no face or no detection.
    """
    parts = [(_counted(seen, true, iou), seen.scores) for seen, true in zip(found, truth, strict=True)]
    hits = np.concatenate([counted for (counted, _), _ in parts] or [np.zeros(0, np.bool_)])
    scores = np.concatenate([each[counts] for (_, counts), each in parts] or [np.zeros(0, np.float32)])
    faces = sum(int((~true.ignored).sum()) for true in truth)
    if not faces:
        return np.zeros(0), np.zeros(0), np.zeros(0, np.float32)
    order = np.argsort(-scores, kind="stable")
    true_positives = np.cumsum(hits[order]).astype(np.float64)
    return true_positives / np.arange(1, len(order) + 1), true_positives / faces, scores[order]


def box_overlaps(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union, FP64 [N,M], of boxes [N,4] and [M,4]; boxes without area overlap nothing."""
    shared = _shared(boxes, others)
    return _share(shared, _areas(boxes)[:, np.newaxis] + _areas(others) - shared)


def _parts_within(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """FP64 [N,M]: which part of each box's area lies within each of the others."""
    shared = _shared(boxes, others)
    return _share(shared, np.broadcast_to(_areas(boxes)[:, np.newaxis], shared.shape))


def _shared(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """FP64 [N,M]: the area that each two have in common."""
    one, two = boxes.astype(np.float64)[:, np.newaxis], others.astype(np.float64)
    return np.asarray(
        (np.minimum(one[..., 2:], two[:, 2:]) - np.maximum(one[..., :2], two[:, :2])).clip(0).prod(axis=-1)
    )


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2:].astype(np.float64) - boxes[:, :2]).clip(0).prod(axis=1))


def _share(parts: NDArray[np.float64], wholes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)


def _counted(found: Detections, true: TrueFaces, iou: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the detections that count, whether each is a face's; and which of all detections count, BOOL [N]."""
    given = match_faces(found, true, iou)
    counts = np.ones(len(given), np.bool_)
    counts[given >= 0] = ~true.ignored[given[given >= 0]]
    return (given >= 0)[counts], counts
