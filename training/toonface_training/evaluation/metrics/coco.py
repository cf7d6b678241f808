"""COCO's average precision, by COCO's own code."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_training.evaluation.metrics.detection import Detections, TrueFaces


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's figures, at most 100 detections a picture. None where there is no face to find.

    Attributes:
        ap: mean over the overlaps 0.50, 0.55 to 0.95.
        ap50: at 0.5.
        ap75: at 0.75.
        faces: faces that count.
        pictures: pictures that were looked at.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    faces: int
    pictures: int


def average_precision(found: Sequence[Detections], truth: Sequence[TrueFaces]) -> AveragePrecision:
    """COCO's average precision, by COCO's own code (pycocotools), for one class.

    Args:
        found: for each picture, what the detector sees.
        truth: for each picture, what is there.
    """
    from pycocotools.cocoeval import COCOeval

    faces = sum(int((~true.ignored).sum()) for true in truth)
    if not faces:
        return AveragePrecision(None, None, None, 0, len(truth))
    annotations = [
        {"image_id": picture, "bbox": _corner_and_size(box), "iscrowd": int(ignored)}
        for picture, true in enumerate(truth)
        for box, ignored in zip(true.boxes, true.ignored, strict=True)
    ]
    detections = [
        {"image_id": picture, "bbox": _corner_and_size(box), "iscrowd": 0, "score": float(score)}
        for picture, seen in enumerate(found)
        for box, score in zip(seen.boxes, seen.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it talks while it works
        evaluation = COCOeval(_coco(annotations, len(truth)), _coco(detections, len(truth)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75 = map(float, evaluation.stats[:3])
    return AveragePrecision(ap, ap50, ap75, faces, len(truth))


def _corner_and_size(box: NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]


def _coco(annotations: list[dict[str, Any]], pictures: int) -> Any:
    """COCO's index over annotations of one class."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": picture} for picture in range(pictures)],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [
            {**annotation, "id": number, "category_id": 1, "area": annotation["bbox"][2] * annotation["bbox"][3]}
            for number, annotation in enumerate(annotations, start=1)
        ],
    }
    coco.createIndex()
    return coco
