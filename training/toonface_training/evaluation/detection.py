"""How well a detector finds the faces of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toonface_training.evaluation.datasets import Scene, in_turn, read_pictures
from toonface_training.evaluation.metrics.coco import AveragePrecision, average_precision
from toonface_training.evaluation.metrics.detection import Detections, OperatingPoint, operating_point
from toonface_training.evaluation.subjects import Detector
from toonface_training.evaluation.tracking import Track, silent


@dataclass(frozen=True, eq=False)
class DetectionOutcome:
    """What was seen in each scene, and what it amounts to.

    Attributes:
        scenes: the pictures, with the truth.
        found: for each of them, all detections, also those below the deployed threshold.
        average: COCO's figures.
        deployed: at the deployed threshold.
    """

    scenes: Sequence[Scene]
    found: Sequence[Detections]
    average: AveragePrecision
    deployed: OperatingPoint

    @property
    def metrics(self) -> dict[str, float | None]:
        """The figures by PaddleX's and COCO's names."""
        return {
            "AP": self.average.ap,
            "AP50": self.average.ap50,
            "AP75": self.average.ap75,
            "precision": self.deployed.precision.value,
            "recall": self.deployed.recall.value,
        }

    def as_dict(self) -> dict[str, Any]:
        """All figures for JSON, with what they rest on."""
        return {
            "pictures": self.average.pictures,
            "faces": self.average.faces,
            "AP": self.average.ap,
            "AP50": self.average.ap50,
            "AP75": self.average.ap75,
            "det_threshold": self.deployed.threshold,
            "precision": self.deployed.precision.as_dict(),
            "recall": self.deployed.recall.as_dict(),
            "pictures_right": self.deployed.pictures_right.as_dict(),
        }


def evaluate_detection(
    detector: Detector, scenes: Sequence[Scene], threshold: float, track: Track = silent
) -> DetectionOutcome:
    """Let a detector look at every scene.

    Args:
        detector: what is evaluated.
        scenes: pictures and the truth about them.
        threshold: the deployed `det_threshold`.
        track: told of each picture.

    Raises:
        ToonfaceError: a picture cannot be read, or the detector cannot answer.
    """
    paths = [scene.path for scene in scenes]
    found = list(track(in_turn(detector.detect(read_pictures(paths)), paths), len(scenes), "look for faces"))
    truth = [scene.truth for scene in scenes]
    return DetectionOutcome(scenes, found, average_precision(found, truth), operating_point(found, truth, threshold))
