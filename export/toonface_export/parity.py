"""Is the exported graph still the model that was trained? Paddle itself answers for the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import select_faces
from toonface_export.detector_graph import anchors_by_level
from toonface_export.nms import DetectorNms
from toonface_export.paddle_model import PaddleModel
from toonface_export.paddle_process import paddle_outputs
from toonface_export.pictures import face_crops, face_scenes
from toonface_export.preprocessing import DetectorPreprocessing, Normalisation

_SCENES, _CROPS = 2, 16

# Detections further apart than this, in pixels, are not the same one.
_SAME_BOX = 0.1

Detections = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Boxes FP32 [N,4] and scores FP32 [N]."""


@dataclass(frozen=True)
class Bound:
    """What a figure may be at most for the model to be written, and what it measures."""

    limit: float
    meaning: str


# Both sides compute in FP32 and differ by the order of summation alone. Measured on the six architectures, four of them
# with random weights: at most 6e-4 px, 5e-6, 0.01 (where two boxes overlap by almost exactly the NMS's threshold, the
# smallest difference decides) and 3e-7. The limits leave room for other processors.
BOUNDS: Mapping[str, Bound] = {
    "box_difference_px": Bound(0.05, "largest difference of a box edge, in pixels of the detector's input"),
    "score_difference": Bound(1e-3, "largest difference of a detection score"),
    "unmatched_share": Bound(0.02, "share of the detections that only one side made"),
    "cosine_distance": Bound(1e-5, "largest cosine distance between both sides' embeddings of one face"),
}


def check_detector(
    model: PaddleModel,
    detector: onnx.ModelProto,
    preprocessing: DetectorPreprocessing,
    nms: DetectorNms,
    pyramid_levels: int,
) -> dict[str, float]:
    """Compare the detections of an exported detector with Paddle's, after NMS, for each level of the pyramid by itself.

    Paddle gets each level's picture as a picture of its own, normalised as PaddleX does.

    Returns:
        The figures of `BOUNDS` that concern detectors, and `detections`, the number that were compared.

    Raises:
        ExportError: a figure is over its bound, or neither side found anything, so that nothing was compared.
    """
    scenes = face_scenes(_SCENES, preprocessing.input.height, preprocessing.input.width)
    expected = _paddle_detections(model, preprocessing.normalisation.apply(scenes), pyramid_levels)
    boxes, scores = _session(detector).run(["boxes", "scores"], {"detector_input": scenes})
    ends = np.cumsum(anchors_by_level(detector, pyramid_levels))[:-1]
    found = [
        select_faces(level_boxes, level_scores, nms.score_threshold, nms.parameters)
        for scene in range(_SCENES)
        for level_boxes, level_scores in zip(np.split(boxes[scene], ends), np.split(scores[scene], ends), strict=True)
    ]
    return _checked(model, _detector_figures(expected, found))


def check_embedder(
    model: PaddleModel, embedder: onnx.ModelProto, normalisation: Normalisation, paddle_input: str
) -> dict[str, float]:
    """Compare the embeddings of an exported embedder with Paddle's, normalised to unit length.

    Args:
        model: the original.
        embedder: what `build_embedder` made of it.
        normalisation: of the pixels that Paddle gets.
        paddle_input: name of the original's input.

    Returns:
        The figures of `BOUNDS` that concern embedders.

    Raises:
        ExportError: a figure is over its bound.
    """
    crops = face_crops(_CROPS)
    [[expected]] = paddle_outputs(model, [{paddle_input: normalisation.apply(crops)}])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    [found] = _session(embedder).run(["embedding"], {"faces": crops})
    cosines = np.sum(expected * found, axis=1, dtype=np.float64)
    return _checked(model, {"cosine_distance": float(np.max(1 - cosines))})


def _paddle_detections(model: PaddleModel, pictures: NDArray[np.float32], pyramid_levels: int) -> list[Detections]:
    """Paddle's detections in normalised pictures FP32 [B,3,h,w]: for each picture, those of each level in turn."""
    height, width = pictures.shape[2:]
    feeds = []
    for picture in pictures:
        for level in range(pyramid_levels):
            side = 2**level
            blocks = picture.reshape(3, height // side, side, width // side, side)
            feeds.append(
                {
                    "image": blocks.mean(axis=(2, 4))[np.newaxis],
                    "im_shape": np.array([[height, width]], np.float32),
                    "scale_factor": np.ones((1, 2), np.float32),
                }
            )
    # Rows of the first output: class, score, x1, y1, x2, y2.
    return [(rows[:, 2:], rows[:, 1]) for rows, *_ in paddle_outputs(model, feeds)]


def _detector_figures(expected: Sequence[Detections], found: Sequence[Detections]) -> dict[str, float]:
    box_differences, score_differences, alone, total = [0.0], [0.0], 0, 0
    for (expected_boxes, expected_scores), (found_boxes, found_scores) in zip(expected, found, strict=True):
        total += len(expected_boxes) + len(found_boxes)
        if len(expected_boxes) == 0 or len(found_boxes) == 0:
            alone += len(expected_boxes) + len(found_boxes)
            continue
        apart = np.abs(expected_boxes[:, np.newaxis] - found_boxes[np.newaxis]).max(axis=2)
        rows = np.flatnonzero(apart.min(axis=1) < _SAME_BOX)
        columns = apart[rows].argmin(axis=1)
        box_differences.extend(apart[rows, columns])
        score_differences.extend(np.abs(expected_scores[rows] - found_scores[columns]))
        alone += len(expected_boxes) - len(rows) + len(found_boxes) - len(set(columns))
    return {
        "box_difference_px": float(max(box_differences)),
        "score_difference": float(max(score_differences)),
        "unmatched_share": alone / max(total, 1),
        "detections": total / 2,
    }


def _checked(model: PaddleModel, figures: dict[str, float]) -> dict[str, float]:
    if figures.get("detections") == 0:
        raise ExportError(f"{model.name}: neither Paddle nor the exported graph found a face, so nothing was compared")
    for name, bound in BOUNDS.items():
        if not figures.get(name, 0.0) <= bound.limit:
            raise ExportError(
                f"{model.name}: parity with Paddle failed: {name} is {figures[name]:.3g}, allowed is {bound.limit:g} "
                f"({bound.meaning}); the model was not written"
            )
    return figures


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
