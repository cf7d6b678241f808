"""Shares with their intervals, and thresholds from counted scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.metrics.scores import BINS, ScoreCounts, tar_at_far


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


def test_true_accepts_at_a_wanted_rate_of_false_ones() -> None:
    impostors = ScoreCounts.of(np.linspace(0, 0.999, 1000, dtype=np.float32))
    genuine = ScoreCounts.of(np.array([0.2, 0.95, 0.995, 1.0]))
    at = tar_at_far(genuine, impostors, 0.01)
    assert at.far == Rate(10, 1000)
    assert at.tar == Rate(2, 4)
    assert 0.989 < at.threshold <= 0.99
    assert tar_at_far(genuine, impostors, 0.1).tar == Rate(3, 4)


def test_no_impostor_is_let_in_where_the_wanted_rate_is_less_than_one_of_them() -> None:
    at = tar_at_far(ScoreCounts.of(np.array([0.4, 0.6])), ScoreCounts.of(np.array([0.5])), 1e-3)
    assert (at.far, at.tar) == (Rate(0, 1), Rate(1, 2))


def test_a_score_equal_to_the_threshold_is_accepted() -> None:
    counts = ScoreCounts.of(np.array([0.58, 0.57995]))
    assert counts.accepted_at(0.58) == Rate(1, 2)


def test_scores_that_rounding_put_outside_are_counted_at_the_ends() -> None:
    counts = ScoreCounts.of(np.array([1.0000001, 1.0, -1.0000001], np.float32))
    assert (counts.counts[0], counts.counts[-1], counts.total) == (1, 2, 3)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.floats(0, 1))
def test_the_threshold_is_the_smallest_that_keeps_to_the_rate(scores: list[float], most: float) -> None:
    counts = ScoreCounts.of(np.array(scores))
    threshold = counts.threshold_for(most)
    assert counts.accepted_at(threshold).hits <= most * len(scores)
    if threshold > -1:
        assert counts.accepted_at(threshold - 2 / BINS).hits > most * len(scores)
