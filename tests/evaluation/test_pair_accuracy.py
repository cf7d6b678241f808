"""The ten-fold accuracy over pairs, held against PaddleX's procedure written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_training.evaluation.metrics.pairs import pair_accuracy


def _step_by_step(similarities: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Accuracies and thresholds (squared distances) of the folds, judged pair by pair."""
    distances, thresholds = 2 - 2 * similarities, np.arange(0, 4, 0.01)
    accuracies, chosen = [], []
    for test in np.array_split(np.arange(len(same)), 10):
        train = np.setdiff1d(np.arange(len(same)), test)
        best = max(thresholds, key=lambda limit: (((distances[train] < limit) == same[train]).mean(), -limit))
        accuracies.append(float(((distances[test] < best) == same[test]).mean()))
        chosen.append(float(best))
    return accuracies, chosen


@pytest.mark.parametrize("pairs", [10, 57, 400])
def test_it_is_paddlexs_procedure(pairs: int) -> None:
    random = np.random.default_rng(pairs)
    same = random.random(pairs) < 0.5
    similarities = np.clip(random.normal(np.where(same, 0.6, 0.2), 0.25), -1, 1)
    accuracies, thresholds = _step_by_step(similarities, same)
    found = pair_accuracy(similarities, same)
    assert found.accuracy == pytest.approx(np.mean(accuracies))
    assert found.deviation == pytest.approx(np.std(accuracies))
    assert found.threshold == pytest.approx(1 - np.mean(thresholds) / 2)
    assert (found.pairs, found.same) == (pairs, same.sum())


def test_pairs_that_are_far_apart_are_all_told_right() -> None:
    same = np.arange(100) % 2 == 0
    assert pair_accuracy(np.where(same, 0.9, 0.1), same).accuracy == 1.0


def test_a_fold_is_judged_by_the_threshold_of_the_others() -> None:
    # The first fold has a different pair at 0.5; the others put the threshold below it.
    similarities = np.array([0.5] + [0.4] * 9)
    same = np.array([False] + [True] * 9)
    assert pair_accuracy(similarities, same).accuracy == pytest.approx(0.9)


def test_nine_pairs_are_too_few() -> None:
    with pytest.raises(ConfigError, match="9 pairs"):
        pair_accuracy(np.zeros(9), np.zeros(9, np.bool_))
