"""COCO's figures on cases small enough to work out, and precision and recall as deployed."""

from __future__ import annotations

import numpy as np
import pytest

from toonface_training.evaluation.metrics.coco import average_precision
from toonface_training.evaluation.metrics.detection import (
    Detections,
    TrueFaces,
    box_overlaps,
    match_faces,
    operating_point,
    precision_recall,
)
from toonface_training.evaluation.metrics.rate import Rate

SQUARE = [0, 0, 100, 100]
ELSEWHERE = [300, 300, 400, 400]


def _found(*rows: tuple[list[float], float]) -> Detections:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([score for _, score in rows], np.float32))


def _true(*boxes: list[float], ignored: int = 0) -> TrueFaces:
    """Faces, the last `ignored` of which do not count."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return TrueFaces(array, np.arange(len(array)) >= len(array) - ignored)


def test_overlaps_are_intersection_over_union() -> None:
    boxes = np.array([SQUARE, [50, 0, 150, 100], [10, 10, 10, 50]], np.float32)
    overlaps = box_overlaps(boxes, np.array([SQUARE, ELSEWHERE], np.float32))
    assert overlaps == pytest.approx(np.array([[1, 0], [1 / 3, 0], [0, 0]]))


def test_perfect_boxes_have_a_precision_of_one() -> None:
    figures = average_precision([_found((SQUARE, 0.9)), _found()], [_true(SQUARE), _true()])
    assert (figures.ap, figures.ap50, figures.ap75) == pytest.approx((1, 1, 1))
    assert (figures.faces, figures.pictures) == (1, 2)


def test_a_loose_box_counts_up_to_its_overlap() -> None:
    # An overlap of 0.8: the thresholds 0.50 to 0.80 accept it, 0.85 to 0.95 do not.
    figures = average_precision([_found(([0, 0, 80, 100], 0.9))], [_true(SQUARE)])
    assert (figures.ap, figures.ap50, figures.ap75) == pytest.approx((0.7, 1, 1))


def test_a_false_box_above_the_true_one_halves_the_precision() -> None:
    figures = average_precision([_found((ELSEWHERE, 0.9), (SQUARE, 0.8))], [_true(SQUARE)])
    assert figures.ap50 == pytest.approx(0.5)


def test_a_missed_face_costs_its_share() -> None:
    # COCO reads precision at 101 recalls; 51 of them, 0.00 to 0.50, are reached.
    figures = average_precision([_found((SQUARE, 0.9))], [_true(SQUARE, ELSEWHERE)])
    assert figures.ap50 == pytest.approx(51 / 101)


def test_detections_in_another_picture_do_not_help() -> None:
    figures = average_precision([_found(), _found((SQUARE, 0.9))], [_true(SQUARE), _true()])
    assert figures.ap50 == 0


def test_without_faces_or_detections_there_is_an_answer() -> None:
    assert average_precision([_found((SQUARE, 0.9))], [_true()]).ap is None
    assert average_precision([_found()], [_true(SQUARE)]).ap50 == 0
    assert len(precision_recall([_found((SQUARE, 0.9))], [_true()])[0]) == 0
    assert operating_point([], [], 0.5).recall == Rate(0, 0)


def test_an_ignored_face_neither_counts_nor_costs() -> None:
    truth, found = [_true(SQUARE, ELSEWHERE, ignored=1)], [_found((ELSEWHERE, 0.95), (SQUARE, 0.9))]
    assert average_precision(found, truth).ap50 == pytest.approx(1)
    point = operating_point(found, truth, 0.5)
    assert (point.precision, point.recall, point.pictures_right) == (Rate(1, 1), Rate(1, 1), Rate(1, 1))
    precision, recall, thresholds = precision_recall(found, truth)
    assert (precision.tolist(), recall.tolist(), thresholds.tolist()) == ([1], [1], [np.float32(0.9)])


def test_a_crowd_takes_every_face_that_lies_within_it() -> None:
    crowd, within, beside = [0, 0, 400, 400], [10, 10, 60, 60], [390, 0, 440, 50]
    found = [_found((within, 0.9), (ELSEWHERE, 0.8), (beside, 0.7))]
    assert match_faces(found[0], _true(crowd, ignored=1)).tolist() == [0, 0, -1]
    point = operating_point(found, [_true(crowd, ignored=1)], 0.5)
    assert (point.precision, point.pictures_right) == (Rate(0, 1), Rate(0, 1))
    assert operating_point(found, [_true(crowd, ignored=1)], 0.75).pictures_right == Rate(1, 1)


def test_the_curve_has_cocos_average_precision() -> None:
    """On pictures with crowds; COCO takes the best precision at each of 101 recalls, and from there on."""
    random = np.random.default_rng(3)
    for _ in range(20):
        found, truth = [], []
        for _ in range(6):
            faces, crowds = random.integers(1, 5), random.integers(0, 3)
            corners = random.uniform(0, 300, (faces + crowds, 2))
            boxes = np.concatenate([corners, corners + random.uniform(40, 120, (faces + crowds, 2))], axis=1)
            truth.append(TrueFaces(boxes.astype(np.float32), np.arange(faces + crowds) >= faces))
            # Some near the boxes, some in the middle of them, some anywhere.
            near = np.repeat(boxes, 2, axis=0) + random.normal(0, 12, (2 * len(boxes), 4))
            inside = boxes + np.array([15, 15, -15, -15])
            seen = np.concatenate([near, inside, random.permuted(near, axis=0)]).astype(np.float32)
            seen = seen[(seen[:, 2:] > seen[:, :2]).all(axis=1)]
            scores = -np.sort(-random.permutation(np.linspace(0.1, 1, 1000, dtype=np.float32))[: len(seen)])
            found.append(Detections(random.permutation(seen), scores))
        precision, recall, _ = precision_recall(found, truth)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        expected = np.append(best, 0)[np.minimum(places, len(best))].mean()
        assert expected == pytest.approx(average_precision(found, truth).ap50, abs=1e-9)
        assert 0.05 < expected < 0.95


def test_each_face_is_given_once_and_to_the_best_score() -> None:
    found = _found(([0, 0, 100, 98], 0.7), (SQUARE, 0.6), (ELSEWHERE, 0.9))
    assert match_faces(found, _true(SQUARE)).tolist() == [0, -1, -1]


def test_a_second_box_takes_the_face_that_is_left() -> None:
    neighbour = [30, 0, 130, 100]  # overlaps the square by 0.54
    assert match_faces(_found((SQUARE, 0.9), (SQUARE, 0.8)), _true(neighbour, SQUARE)).tolist() == [1, 0]


def test_deployed_precision_and_recall() -> None:
    found = [_found((SQUARE, 0.9), (ELSEWHERE, 0.5)), _found((SQUARE, 0.81), (ELSEWHERE, 0.8)), _found()]
    truth = [_true(SQUARE), _true(SQUARE, ELSEWHERE), _true(SQUARE)]
    point = operating_point(found, truth, 0.8)  # strictly more: the second picture's second box does not count
    assert (point.precision, point.recall, point.pictures_right) == (Rate(2, 2), Rate(2, 4), Rate(1, 3))
    point = operating_point(found, truth, 0.4)
    assert (point.precision, point.recall, point.pictures_right) == (Rate(3, 4), Rate(3, 4), Rate(1, 3))


def test_the_curve_falls_with_the_threshold() -> None:
    found = [_found((SQUARE, 0.9), (ELSEWHERE, 0.5)), _found((ELSEWHERE, 0.7))]
    precision, recall, thresholds = precision_recall(found, [_true(SQUARE), _true(ELSEWHERE, SQUARE)])
    assert precision == pytest.approx([1, 1, 2 / 3])
    assert recall == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert thresholds == pytest.approx([0.9, 0.7, 0.5])
