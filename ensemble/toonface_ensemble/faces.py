"""From a detector's raw output to the faces that are embedded: what the stage `crop_align` computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_contract.names import FACE_SIZE
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.crop import clip_boxes, crop_faces, has_pixels
from toonface_ensemble.nms import NmsParameters, select_faces
from toonface_ensemble.placement import DetectorInput


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one picture, the highest score first.

    F is their number, R = max(F, 1): a batching stage takes no empty batch, so a picture without faces yields one black
    crop that is marked unreal, for the last stage to drop.

    Attributes:
        crops: UINT8 [R,112,112,3], RGB.
        real: BOOL [R,1], whether the crop shows a face.
        boxes: FP32 [F,4], x1, y1, x2, y2 in pixels of the picture, within it.
        scores: FP32 [F].
        found: faces that the detector found; F is less when there were more than may be embedded.
    """

    crops: NDArray[np.uint8]
    real: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    found: int


def find_faces(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    detector_input: DetectorInput,
    nms: NmsParameters,
    options: RecognitionOptions,
    most: int,
) -> Faces:
    """Choose the faces among a detector's boxes, and cut them out.

    Boxes without a pixel inside the picture count nowhere.

    Args:
        pixels: UINT8 [H,W,3], RGB: the upright picture.
        boxes: FP32 [A,4], x1, y1, x2, y2 in pixels of the detector's input.
        scores: FP32 [A].
        detector_input: how the picture was laid into the detector's input.
        nms: the detector's NMS parameters.
        options: `det_threshold`, `max_faces`, and `crop`: with `whole` the picture is the one face, with score 1, and
            the detector is not asked.
        most: faces that the embedder takes at once. Fewer are cut out if `options.max_faces` is less.
    """
    height, width = pixels.shape[:2]
    if options.crop == "whole":
        boxes, scores = np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)
    else:
        # In pixels of the picture, as in Paddle's graphs: where a box includes its last pixel, the scale matters.
        boxes = detector_input.to_picture(boxes, height, width)
        boxes, scores = select_faces(boxes, scores, options.det_threshold, nms)
        boxes = clip_boxes(boxes, height, width)
        visible = has_pixels(boxes)
        boxes, scores = boxes[visible], scores[visible]

    found = len(boxes)
    embedded = min(options.max_faces, most)
    boxes, scores = boxes[:embedded], scores[:embedded]
    crops = crop_faces(pixels, boxes)
    if not found:
        crops = np.zeros((1, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    real = np.full((len(crops), 1), found > 0)
    return Faces(crops, real, boxes, scores, found)
