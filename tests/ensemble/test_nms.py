"""Suppression: the same boxes as Paddle's multiclass_nms3, which is written out here as the plain loop it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from toonface_ensemble.nms import NmsParameters, select_faces


def parameters(**changes) -> NmsParameters:
    return NmsParameters(**{"iou_threshold": 0.5, "max_candidates": -1, "max_faces": -1, "normalized": True, **changes})


def area(box, edge):
    if box[2] < box[0] or box[3] < box[1]:
        return np.float32(0)
    return (box[2] - box[0] + edge) * (box[3] - box[1] + edge)


def overlap(a, b, edge):
    if b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]:
        return np.float32(0)
    shared = (min(a[2], b[2]) - max(a[0], b[0]) + edge) * (min(a[3], b[3]) - max(a[1], b[1]) + edge)
    with np.errstate(all="ignore"):
        return shared / (area(a, edge) + area(b, edge) - shared)


def paddle_then_paddlex(boxes, scores, threshold, nms):
    """Paddle suppresses whatever the score, and PaddleX holds what is left against its threshold."""
    edge = np.float32(0 if nms.normalized else 1)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    if nms.max_candidates != -1:
        order = order[: nms.max_candidates]
    kept = []
    for index in order:
        if all(overlap(boxes[index], boxes[other], edge) <= np.float32(nms.iou_threshold) for other in kept):
            kept.append(index)
    if nms.max_faces != -1:
        kept = kept[: nms.max_faces]
    return [index for index in kept if scores[index] > np.float32(threshold)]


# Few different values, so that ties, boxes without area, touching boxes and corners the wrong way round all occur.
corners = st.tuples(*[st.integers(0, 12)] * 4)
candidates = st.lists(st.tuples(corners, st.integers(0, 10)), max_size=40)
limits = st.one_of(st.just(-1), st.integers(1, 30))


@settings(max_examples=500, deadline=None)
@given(
    candidates,
    st.integers(0, 10),
    st.builds(
        parameters, iou_threshold=st.floats(0, 1), max_candidates=limits, max_faces=limits, normalized=st.booleans()
    ),
)
def test_same_faces_as_paddle(found, threshold, nms):
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score / 10 for _, score in found], np.float32)
    expected = paddle_then_paddlex(boxes, scores, threshold / 10, nms)
    kept_boxes, kept_scores = select_faces(boxes, scores, threshold / 10, nms)
    np.testing.assert_array_equal(kept_boxes, boxes[expected])
    np.testing.assert_array_equal(kept_scores, scores[expected])


@pytest.mark.parametrize("normalized", [True, False])
def test_same_faces_as_paddle_on_a_crowd(normalized):
    random = np.random.default_rng(7)
    centres, sides = random.uniform(0, 200, (400, 2)), random.uniform(5, 60, (400, 2))
    boxes = np.hstack([centres - sides / 2, centres + sides / 2]).astype(np.float32)
    scores = random.random(400, np.float32)
    nms = parameters(iou_threshold=0.3, max_candidates=300, max_faces=50, normalized=normalized)
    expected = paddle_then_paddlex(boxes, scores, 0.25, nms)
    assert len(expected) > 10
    np.testing.assert_array_equal(select_faces(boxes, scores, 0.25, nms)[0], boxes[expected])


def test_score_must_exceed_the_threshold_strictly():
    boxes = np.array([[0, 0, 5, 5], [10, 10, 15, 15]], np.float32)
    scores = np.array([0.6, np.nextafter(np.float32(0.6), np.float32(1))], np.float32)
    kept, _ = select_faces(boxes, scores, 0.6, parameters())
    assert kept.tolist() == [[10, 10, 15, 15]]


def test_the_last_pixel_counts_when_not_normalized():
    """Two 10x10 squares that share half: 50/150 by area, 66/176 with the last pixels."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert len(select_faces(boxes, scores, 0.5, parameters(iou_threshold=0.35))[0]) == 2
    assert len(select_faces(boxes, scores, 0.5, parameters(iou_threshold=0.35, normalized=False))[0]) == 1


def test_no_candidates():
    boxes, scores = select_faces(np.zeros((3, 4), np.float32), np.zeros(3, np.float32), 0.5, parameters())
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    assert boxes.dtype == scores.dtype == np.float32


def test_scores_that_are_not_numbers_take_no_part():
    boxes = np.array([[0, 0, 5, 5], [0, 0, 5, 5]], np.float32)
    _, scores = select_faces(boxes, np.array([np.nan, 0.7], np.float32), 0.5, parameters())
    assert scores.tolist() == [np.float32(0.7)]


@pytest.mark.parametrize(
    "wrong", [{"iou_threshold": 1.5}, {"max_faces": 0}, {"max_candidates": -2}, {"eta": 0.9}], ids=str
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        parameters(**wrong)


def test_parameters_travel_as_json():
    nms = parameters(max_candidates=5000, normalized=False)
    assert NmsParameters.model_validate_json(nms.model_dump_json()) == nms
