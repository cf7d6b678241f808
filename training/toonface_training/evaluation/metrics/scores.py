"""Similarities of pairs, counted finely: what is accepted at a threshold, and which threshold accepts how much."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toonface_training.evaluation.metrics.rate import Rate

# Width of a bin: 5e-5. Thresholds lie on its edges, where counts are exact.
BINS = 40_000


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """How many scores, -1 to 1, fell into each of `BINS` equal bins. Takes any number of scores in the same memory.

    A pair is accepted when its score is at least the threshold, as the gallery accepts from `rec_threshold` on; the two
    are compared in FP32, as there.

    Attributes:
        counts: INT64 [BINS + 1]; the last bin is of scores of 1, and of those that rounding put above it. Those below
            -1 are counted in the first.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS + 1, np.int64))

    @classmethod
    def of(cls, scores: NDArray[np.float32] | NDArray[np.float64]) -> ScoreCounts:
        """The counts of an array of scores of any shape."""
        counted = cls()
        counted.add(scores)
        return counted

    @property
    def total(self) -> int:
        """How many scores there are."""
        return int(self.counts.sum())

    def add(self, scores: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Count an array of scores of any shape."""
        values = scores.ravel().astype(np.float32)
        bins = np.floor((values.astype(np.float64) + 1) * (BINS / 2)).astype(np.int64).clip(0, BINS)
        # An edge in FP32 may lie a little beside where the multiplication puts it.
        bins -= values < _EDGES[bins]
        bins += values >= _EDGES[bins + 1]
        self.counts[:] += np.bincount(bins.clip(0), minlength=BINS + 1)

    def accepted(self) -> NDArray[np.int64]:
        """INT64 [BINS + 1]: how many scores are at or above each of `edges()`."""
        return np.asarray(np.cumsum(self.counts[::-1])[::-1])

    def accepted_at(self, threshold: float) -> Rate:
        """The share of scores that reach a threshold, which counts as the next edge above it."""
        edge = int(np.searchsorted(_EDGES, np.float32(threshold)))
        return Rate(int(self.counts[edge:].sum()), self.total)

    def threshold_for(self, most: float) -> float | None:
        """The smallest threshold, of `edges()`, that at most the share `most` of the scores reach.

        None where there is none: even more scores than that are 1, or there are no scores, of which nothing follows.
        """
        kept = np.flatnonzero(self.accepted() <= most * self.total)
        return float(edges()[kept[0]]) if self.total and len(kept) else None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """True accepts at a wanted rate of false ones.

    Attributes:
        wanted_far: the wanted false-accept rate.
        threshold: the smallest score that keeps to it.
        tar: genuine pairs that reach the threshold.
        far: impostor pairs that do.
    """

    wanted_far: float
    threshold: float
    tar: Rate
    far: Rate


def edges() -> NDArray[np.float64]:
    """FP64 [BINS + 1], the lower edges of the bins, from -1 to 1."""
    return np.round(np.arange(BINS + 1) / (BINS / 2) - 1, 5)


# The same as scores are compared with them, and one that no score reaches.
_EDGES = np.append(edges(), np.inf).astype(np.float32)


def tar_at_far(genuine: ScoreCounts, impostors: ScoreCounts, wanted_far: float) -> Acceptance | None:
    """The true-accept rate at the threshold that lets at most `wanted_far` of the impostors in.

    None where no threshold does, or where there are no impostors.
    """
    threshold = impostors.threshold_for(wanted_far)
    if threshold is None:
        return None
    return Acceptance(wanted_far, threshold, tar=genuine.accepted_at(threshold), far=impostors.accepted_at(threshold))
