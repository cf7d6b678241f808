"""Ranks on a gallery, strangers, and what a threshold decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toonface_training.evaluation.datasets import Scene
from toonface_training.evaluation.metrics import identification
from toonface_training.evaluation.metrics.detection import Detections, TrueFaces
from toonface_training.evaluation.metrics.identification import Identification, identify
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.recognition import FacePlace, RecognitionOutcome
from toonface_training.evaluation.subjects import EmbeddedFaces


def _at(*degrees: float) -> np.ndarray:
    """Unit vectors of the plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def found() -> Identification:
    # Characters 10, 20 and 30; the first has two pictures. The last probe is a stranger's.
    return identify(
        _at(2, 51, 95, 85),
        np.array([10, 10, 30, 40]),
        _at(90, 0, 40, 60),
        np.array([30, 10, 10, 20]),
        probe_groups=np.array([1, 1, 2, 2]),
        gallery_groups=np.array([2, 1, 1, 1]),
    )


def test_rank_counts_characters_and_not_pictures(found: Identification) -> None:
    # The second probe, of 10, is nearest to 20 (at 60 degrees); 10 has a picture at 40.
    assert found.ranks.tolist() == [1, 2, 1, 0]
    assert found.within(1) == Rate(2, 3)
    assert found.within(2) == Rate(3, 3)


def test_the_nearest_is_a_row_of_the_gallery(found: Identification) -> None:
    assert found.nearest[[0, 2, 3]].tolist() == [1, 0, 0]
    assert found.scores[0] == pytest.approx(np.cos(np.radians(2)))


def test_others_leave_the_probes_own_character_out(found: Identification) -> None:
    assert np.degrees(np.arccos(found.others)) == pytest.approx([58, 9, 35, 5], abs=1e-2)


def test_pairs_are_counted_by_kind(found: Identification) -> None:
    # Genuine: 2 probes of 10 with 2 pictures each, and one of 30 with one.
    assert (found.genuine.total, found.impostors.total) == (5, 11)
    # Alike: both probes of group 1 with 20's picture, the stranger with 30's.
    assert found.alike.total == 3


def test_decisions_at_a_threshold(found: Identification) -> None:
    strict = found.decisions(float(np.cos(np.radians(4))))
    assert (strict.right, strict.wrong, strict.strangers) == (Rate(1, 3), Rate(0, 3), Rate(0, 1))
    loose = found.decisions(0.9)
    assert (loose.right, loose.wrong, loose.strangers) == (Rate(2, 3), Rate(1, 3), Rate(1, 1))
    assert loose.not_enrolled == Rate(2, 4)


def test_the_threshold_that_keeps_strangers_out(found: Identification) -> None:
    threshold = found.threshold_for(0.0)
    assert threshold is not None
    assert found.decisions(threshold).strangers == Rate(0, 1)
    assert found.decisions(threshold - 1e-3).strangers == Rate(1, 1)
    assert identify(_at(0), np.array([1]), _at(0), np.array([1])).threshold_for(0.01) is None


def test_an_embedder_that_sees_no_difference_is_right_about_nobody() -> None:
    same = np.ones((5, 1), np.float32)
    assert identify(same, np.arange(5), same, np.arange(5)).within(1) == Rate(0, 5)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_what_is_no_number_is_nobodys_and_no_stranger() -> None:
    nothing = np.full((1, 2), np.nan, np.float32)
    found = identify(nothing, np.array([10]), _at(0, 60), np.array([10, 20]))
    assert (found.known.tolist(), found.within(1)) == ([True], Rate(0, 1))
    assert found.decisions(0.5).strangers == Rate(0, 0)


def test_one_character_has_no_others() -> None:
    assert identify(_at(10), np.array([7]), _at(0), np.array([7])).others.tolist() == [-1]


def test_piece_by_piece_it_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    probes, gallery = (random.normal(size=(count, 8)).astype(np.float32) for count in (101, 37))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    labels = random.integers(0, 25, 101), random.integers(0, 20, 37)
    whole = identify(probes, labels[0], gallery, labels[1])
    monkeypatch.setattr(identification, "_AT_ONCE", 37 * 7)
    pieces = identify(probes, labels[0], gallery, labels[1])
    assert np.array_equal(whole.ranks, pieces.ranks)
    assert np.array_equal(whole.nearest, pieces.nearest)
    # A score may round into the next bin.
    assert np.abs(whole.impostors.accepted() - pieces.impostors.accepted()).max() <= 2
    assert whole.impostors.total == pieces.impostors.total
    assert whole.others == pytest.approx(pieces.others, abs=1e-6)
    # And what it finds is what a plain comparison of all with all says.
    scores = probes @ gallery.T
    assert np.array_equal(whole.nearest, scores.argmax(axis=1))
    assert np.array_equal(whole.ranks == 1, labels[1][scores.argmax(axis=1)] == labels[0])


def test_small_faces_are_left_out_by_their_shorter_side() -> None:
    # Four faces, of 40 x 32, 100 x 31, 50 x 50 and 20 x 20 pixels; the third was missed, the last is a stranger's.
    boxes = np.array([[0, 0, 40, 32], [0, 50, 100, 81], [0, 100, 50, 150], [0, 200, 20, 220]], np.float32)
    by_boxes = identify(_at(1, 50, 70), np.array([10, 10, 40]), _at(0, 60), np.array([10, 20]))
    outcome = RecognitionOutcome(
        scenes=[Scene(Path("a.jpg"), TrueFaces.at(boxes), ("ann", "ann", "ann", None))],
        gallery=[],
        seen=[EmbeddedFaces(Detections(boxes[[0, 1, 3]], np.ones(3, np.float32)), _at(1, 50, 70))],
        faces=[FacePlace(0, 0, 0), FacePlace(0, 1, 1), FacePlace(0, 2, None), FacePlace(0, 3, 2)],
        by_boxes=by_boxes,
        by_truth=by_boxes,
        rank1_both_by_boxes=None,
        false_scores=np.zeros(0, np.float32),
        det_threshold=0.5,
        rec_threshold=0.5,
    )
    assert outcome.rank1_of_found() == by_boxes.within(1) == Rate(1, 2)
    assert outcome.rank1_of_found(32) == Rate(1, 1)
    assert outcome.rank1_of_found(41) == Rate(0, 0)
    assert outcome.as_dict()["rank1_of_found_32px"]["of"] == 1
