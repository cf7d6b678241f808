"""The whole of crop_align: from a detector's raw output to faces."""

import numpy as np
import pytest

from toonface_contract.options import RecognitionOptions
from toonface_ensemble.crop import crop_faces
from toonface_ensemble.faces import Faces, find_faces
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput

HALF = DetectorInput(height=100, width=150, keep_ratio=False, interpolation="cubic")
NMS = NmsParameters(iou_threshold=0.5, max_candidates=1000, max_faces=100, normalized=True)
PIXELS = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)

# In pixels of the detector's input, which is half the picture's size each way.
BOXES = np.array(
    [
        [10, 10, 30, 30],
        [11, 10, 31, 30],  # the first face again
        [60, 50, 90, 90],
        [140, 80, 170, 120],  # reaches over the corner
        [160, 10, 190, 40],  # beside the picture
        [100, 10, 120, 30],  # scores too little
    ],
    np.float32,
)
SCORES = np.array([0.8, 0.7, 0.95, 0.65, 0.9, 0.5], np.float32)


def find(boxes=BOXES, scores=SCORES, most=64, **options) -> Faces:
    chosen = RecognitionOptions(**options)
    return find_faces(PIXELS, boxes, scores, detector_input=HALF, nms=NMS, options=chosen, most=most)


def check_agreement(faces: Faces) -> None:
    """Every output speaks of the same faces."""
    assert faces.crops.dtype == np.uint8 and faces.boxes.dtype == faces.scores.dtype == np.float32
    assert len(faces.boxes) == len(faces.scores) == faces.real.sum()
    assert faces.real.shape == (max(len(faces.boxes), 1), 1) and faces.real.dtype == np.bool_
    np.testing.assert_array_equal(faces.crops[faces.real[:, 0]], crop_faces(PIXELS, faces.boxes))


def test_faces_come_best_first_in_pixels_of_the_picture():
    faces = find()
    check_agreement(faces)
    assert faces.boxes.tolist() == [[120, 100, 180, 180], [20, 20, 60, 60], [280, 160, 300, 200]]
    np.testing.assert_array_equal(faces.scores, np.array([0.95, 0.8, 0.65], np.float32))
    assert faces.found == 3


def test_threshold_is_the_requests():
    assert find(det_threshold=0.45).found == 4
    assert find(det_threshold=0.9).found == 1


@pytest.mark.parametrize(("most", "max_faces"), [(64, 2), (2, 64), (2, 2)])
def test_a_cut_keeps_the_best_and_is_reported(most, max_faces):
    faces = find(most=most, max_faces=max_faces)
    check_agreement(faces)
    assert len(faces.boxes) == 2 and faces.found == 3
    np.testing.assert_array_equal(faces.scores, np.array([0.95, 0.8], np.float32))


@pytest.mark.parametrize("boxes", [BOXES, BOXES[:0], BOXES[[4]]], ids=["none scores enough", "none", "none in sight"])
def test_no_face_is_one_blank_row(boxes):
    faces = find(boxes, np.full(len(boxes), 0.7 if len(boxes) == 1 else 0.1, np.float32))
    check_agreement(faces)
    assert faces.found == 0 and faces.boxes.shape == (0, 4)
    assert faces.crops.shape == (1, 112, 112, 3) and not faces.crops.any()
    assert faces.real.tolist() == [[False]]


def test_the_whole_picture_as_one_face():
    faces = find(crop="whole", det_threshold=1.0)
    check_agreement(faces)
    assert faces.boxes.tolist() == [[0, 0, 300, 200]]
    assert faces.scores.tolist() == [1.0] and faces.found == 1


def test_boxes_that_are_not_numbers_are_no_faces():
    boxes = np.array([[np.nan] * 4, [10, 10, 30, 30], [-np.inf, 0, np.inf, 40]], np.float32)
    faces = find(boxes, np.array([0.9, 0.8, 0.7], np.float32))
    check_agreement(faces)
    assert faces.boxes.tolist() == [[20, 20, 60, 60], [0, 0, 300, 80]]


def test_where_the_last_pixel_counts_suppression_is_done_in_pixels_of_the_picture():
    """Two squares that overlap by 0.349 at the picture's scale, and by 0.364 at the detector's."""
    nms = NMS.model_copy(update={"normalized": False, "iou_threshold": 0.355})
    boxes, scores = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32), np.array([0.9, 0.8], np.float32)
    faces = find_faces(PIXELS, boxes, scores, detector_input=HALF, nms=nms, options=RecognitionOptions(), most=64)
    assert faces.found == 2
