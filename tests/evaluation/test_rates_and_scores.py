"""Shares with their intervals, and thresholds from counted scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.metrics.scores import BINS, Acceptance, ScoreCounts, edges, tar_at_far


def test_wilsons_interval_has_its_published_values() -> None:
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998),
    # table I, method 3.
    for hits, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert Rate(hits, of).interval == pytest.approx((low, high), abs=6e-5)


def test_a_rate_of_nothing_is_no_number() -> None:
    assert Rate(0, 0).as_dict() == {"value": None, "hits": 0, "of": 0, "low": 0.0, "high": 1.0}


def _at(genuine: ScoreCounts, impostors: ScoreCounts, far: float) -> Acceptance:
    at = tar_at_far(genuine, impostors, far)
    assert at is not None
    return at


def test_true_accepts_at_a_wanted_rate_of_false_ones() -> None:
    impostors = ScoreCounts.of(np.linspace(0, 0.999, 1000, dtype=np.float32))
    genuine = ScoreCounts.of(np.array([0.2, 0.95, 0.995, 1.0]))
    at = _at(genuine, impostors, 0.01)
    assert at.far == Rate(10, 1000)
    assert at.tar == Rate(2, 4)
    assert 0.989 < at.threshold <= 0.99
    assert _at(genuine, impostors, 0.1).tar == Rate(3, 4)


def test_no_impostor_is_let_in_where_the_wanted_rate_is_less_than_one_of_them() -> None:
    at = _at(ScoreCounts.of(np.array([0.4, 0.6])), ScoreCounts.of(np.array([0.5])), 1e-3)
    assert (at.far, at.tar) == (Rate(0, 1), Rate(1, 2))


def test_a_score_equal_to_the_threshold_is_accepted() -> None:
    counts = ScoreCounts.of(np.array([0.58, 0.57995]))
    assert counts.accepted_at(0.58) == Rate(1, 2)


@given(st.sampled_from(edges().tolist()), st.integers(-2, 2))
def test_scores_are_compared_in_single_precision_as_the_gallery_does(threshold: float, steps: int) -> None:
    score = np.float32(threshold)
    for _ in range(abs(steps)):
        score = np.nextafter(score, np.float32(steps))
    named = bool(score >= np.float32(threshold))
    assert ScoreCounts.of(np.array([score])).accepted_at(threshold) == Rate(int(named), 1)


def test_impostors_of_one_similarity_leave_no_threshold() -> None:
    genuine, impostors = ScoreCounts.of(np.array([0.9, 1.0])), ScoreCounts.of(np.array([0.3, 1.0, 1.0000001]))
    assert impostors.accepted_at(1.0) == Rate(2, 3)
    assert impostors.threshold_for(0.5) is None
    assert tar_at_far(genuine, impostors, 0.5) is None
    assert impostors.threshold_for(0.7) == pytest.approx(0.3, abs=2 / BINS)


def test_of_no_impostors_no_threshold_follows() -> None:
    assert ScoreCounts().threshold_for(0.01) is None
    assert tar_at_far(ScoreCounts.of(np.array([0.9])), ScoreCounts(), 0.01) is None


def test_scores_that_rounding_put_outside_are_counted_at_the_ends() -> None:
    counts = ScoreCounts.of(np.array([1.0000001, 1.0, -1.0000001], np.float32))
    assert (counts.counts[0], counts.counts[-1], counts.total) == (1, 2, 3)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.floats(0, 1))
def test_the_threshold_is_the_smallest_that_keeps_to_the_rate(scores: list[float], most: float) -> None:
    counts = ScoreCounts.of(np.array(scores))
    threshold = counts.threshold_for(most)
    if threshold is None:
        assert counts.accepted_at(1.0).hits > most * len(scores)
        return
    assert counts.accepted_at(threshold).hits <= most * len(scores)
    if threshold > -1:
        assert counts.accepted_at(threshold - 2 / BINS).hits > most * len(scores)
