"""Laying pictures into the detector's input, and boxes back."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from toonface_ensemble.placement import PADDING_RGB, DetectorInput

STRETCHED = DetectorInput(height=640, width=640, keep_ratio=False, interpolation="cubic")
FITTED = DetectorInput(height=480, width=640, keep_ratio=True, interpolation="area")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "flag"), [("cubic", cv2.INTER_CUBIC), ("linear", cv2.INTER_LINEAR), ("area", cv2.INTER_AREA)]
)
def test_stretching_is_opencv_resize_as_in_paddlex(name, flag):
    source = picture(333, 500)
    spec = DetectorInput(height=640, width=608, keep_ratio=False, interpolation=name)
    np.testing.assert_array_equal(spec.fit(source), cv2.resize(source, (608, 640), interpolation=flag))


def test_a_large_picture_is_scaled_down_and_padded_with_the_mean():
    source = picture(1000, 800)
    fitted = FITTED.fit(source)
    assert fitted.shape == (480, 640, 3) and fitted.dtype == np.uint8
    np.testing.assert_array_equal(fitted[:, :384], cv2.resize(source, (384, 480), interpolation=cv2.INTER_AREA))
    assert (fitted[:, 384:] == PADDING_RGB).all()


def test_a_small_picture_is_never_scaled_up():
    source = picture(100, 200)
    fitted = FITTED.fit(source)
    np.testing.assert_array_equal(fitted[:100, :200], source)
    assert (fitted[100:] == PADDING_RGB).all() and (fitted[:, 200:] == PADDING_RGB).all()


def test_a_picture_of_just_that_size_is_left_alone():
    source = picture(480, 640)
    np.testing.assert_array_equal(FITTED.fit(source), source)


@pytest.mark.parametrize("shape", [(2, 30_000), (30_000, 2), (2, 2)])
@pytest.mark.parametrize("spec", [STRETCHED, FITTED], ids=["stretched", "fitted"])
def test_extreme_shapes(spec, shape):
    assert spec.fit(picture(*shape)).shape == (spec.height, spec.width, 3)


def test_boxes_are_scaled_as_paddle_scales_them():
    """Paddle's graphs divide by the FP32 scale factors that PaddleX feeds them."""
    boxes = np.array([[10.3, 20.7, 300.1, 400.9]], np.float32)
    y_scale, x_scale = np.array([640 / 720, 640 / 1280], np.float32)
    expected = np.stack([boxes[:, 0] / x_scale, boxes[:, 1] / y_scale, boxes[:, 2] / x_scale, boxes[:, 3] / y_scale], 1)
    mapped = STRETCHED.to_picture(boxes, 720, 1280)
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped, expected)


@given(
    st.integers(2, 4000),
    st.integers(2, 4000),
    st.builds(
        DetectorInput,
        height=st.integers(32, 1088),
        width=st.integers(32, 1088),
        keep_ratio=st.booleans(),
        interpolation=st.just("area"),
    ),
)
def test_the_pictures_corners_come_back_to_its_corners(height, width, spec):
    """The far corner of the content is found from the padding, not from the code under test."""
    fitted = spec.fit(np.zeros((height, width, 3), np.uint8))
    content = (fitted == 0).all(axis=2)
    box = np.array([[0, 0, content.any(axis=0).sum(), content.any(axis=1).sum()]], np.float32)
    np.testing.assert_allclose(spec.to_picture(box, height, width), [[0, 0, width, height]], rtol=1e-5)


def test_a_dot_is_found_again_where_it_was():
    source = np.zeros((1000, 800, 3), np.uint8)
    source[700:720, 500:520] = 255
    rows, columns = np.nonzero(FITTED.fit(source)[:, :384].max(axis=2) > 127)
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(FITTED.to_picture(box, 1000, 800), [[500, 700, 520, 720]], atol=1.5)


def test_travels_as_json():
    assert DetectorInput.model_validate_json(FITTED.model_dump_json()) == FITTED


@pytest.mark.parametrize(
    "wrong",
    [{"height": 0}, {"width": -1}, {"interpolation": "bicubic"}, {"keep_ratio": None}, {"pad": 3}],
    ids=str,
)
def test_wrong_values_and_unknown_keys_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        DetectorInput.model_validate({**FITTED.model_dump(), **wrong})


def test_cannot_be_changed():
    with pytest.raises(ValidationError):
        FITTED.height = 1
