"""PaddleX's pair accuracy: are two pictures of one character or of two?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError

FOLDS = 10

# Squared distances of unit vectors at which PaddleX looks for its threshold.
_DISTANCES = np.arange(0, 4, 0.01)


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """Outcome of the ten-fold test.

    Attributes:
        accuracy: mean over the folds, 0 to 1.
        deviation: standard deviation of the folds' accuracies.
        threshold: mean of the folds' thresholds, as a cosine similarity.
        pairs: how many there are.
        same: how many of them show one character.
    """

    accuracy: float
    deviation: float
    threshold: float
    pairs: int
    same: int


def pair_accuracy(similarities: NDArray[np.float32] | NDArray[np.float64], same: NDArray[np.bool_]) -> PairAccuracy:
    """Each tenth of the pairs, in their order, is judged by the threshold that suits the other nine tenths best.

    As PaddleX's evaluation of face features does (PaddleClas, ppcls/metric/face_metrics.py, `BestAccuracy`): squared
    distances of unit vectors, thresholds 0.00 to 3.99, the lowest of equally good ones, same where the distance is
    less.

    Args:
        similarities: [N], cosine similarities.
        same: BOOL [N], whether the pair shows one character.

    Raises:
        ConfigError: there are fewer than ten pairs.
    """
    if len(similarities) < FOLDS:
        raise ConfigError(
            f"there are {len(similarities)} pairs; the accuracy over {FOLDS} folds needs at least {FOLDS}"
        )
    distances = 2 - 2 * similarities.astype(np.float64)
    # Right answers at each threshold, for each fold: same pairs nearer than it, and different ones that are not.
    right = np.array(
        [
            _nearer(fold[alike]) + (~alike).sum() - _nearer(fold[~alike])
            for fold, alike in zip(np.array_split(distances, FOLDS), np.array_split(same, FOLDS), strict=True)
        ]
    )
    best = (right.sum(axis=0) - right).argmax(axis=1)
    sizes = np.array([len(fold) for fold in np.array_split(distances, FOLDS)])
    accuracies = right[np.arange(FOLDS), best] / sizes
    return PairAccuracy(
        accuracy=float(accuracies.mean()),
        deviation=float(accuracies.std()),
        threshold=float(1 - _DISTANCES[best].mean() / 2),
        pairs=len(distances),
        same=int(same.sum()),
    )


def _nearer(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """INT [400]: how many of the distances are less than each of `_DISTANCES`."""
    return np.searchsorted(np.sort(distances), _DISTANCES, side="left")
