"""Face crops: PaddleX's plain box and resize."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toonface_ensemble.crop import clip_boxes, crop_faces, has_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)


def paddlex_crop(box) -> np.ndarray:
    left, top, right, bottom = [int(corner) for corner in box]
    return cv2.resize(PIXELS[top:bottom, left:right], (112, 112), interpolation=cv2.INTER_LINEAR)


def test_crops_are_those_of_paddlex():
    boxes = np.array([[3.9, 4.2, 50.99, 70.01], [0, 0, 120, 80], [118, 78, 120, 80]], np.float32)
    faces = crop_faces(PIXELS, boxes)
    assert faces.shape == (3, 112, 112, 3) and faces.dtype == np.uint8
    for face, box in zip(faces, boxes, strict=True):
        np.testing.assert_array_equal(face, paddlex_crop(box))


def test_no_boxes():
    assert crop_faces(PIXELS, np.zeros((0, 4), np.float32)).shape == (0, 112, 112, 3)


def test_one_pixel_fills_the_crop():
    (face,) = crop_faces(PIXELS, np.array([[7, 9, 8, 10]], np.float32))
    assert (face == PIXELS[9, 7]).all()


def test_a_face_at_the_border_is_cut_to_the_picture():
    clipped = clip_boxes(np.array([[-20.5, 60, 30, 95]], np.float32), 80, 120)
    assert clipped.tolist() == [[0, 60, 30, 80]]
    np.testing.assert_array_equal(crop_faces(PIXELS, clipped)[0], paddlex_crop([0, 60, 30, 80]))


def test_boxes_without_a_pixel_are_told():
    boxes = np.array(
        [
            [10, 10, 20, 20],
            [10.2, 10, 10.9, 20],  # within one column
            [20, 10, 10, 20],  # the wrong way round
            [10, 10, 10, 20],
            [np.nan, 10, 20, 20],
            [10, 10, 11, 11],
        ],
        np.float32,
    )
    assert has_pixels(boxes).tolist() == [True, False, False, False, False, True]


any_corner = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(any_corner, any_corner, any_corner, any_corner), max_size=20))
def test_whatever_the_boxes_those_with_pixels_can_be_cropped(boxes):
    clipped = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), 80, 120)
    visible = clipped[has_pixels(clipped)]
    for face, box in zip(crop_faces(PIXELS, visible), visible, strict=True):
        np.testing.assert_array_equal(face, paddlex_crop(box))
