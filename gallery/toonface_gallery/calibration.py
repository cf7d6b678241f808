"""Which `rec_threshold` a gallery asks for, from the similarities of its own faces.

A false accept is a search for somebody who is not enrolled that is answered with a name. Each of some sampled faces
plays the stranger once: with all faces of its own label left out, its best similarity is what a threshold must stand
above. The share of such searches that a threshold lets through grows with the gallery, so all of it is compared.

Beside it stand the pairs of faces, as verification benchmarks count them: the share of different-label pairs that reach
a threshold says how separable the identities are, whatever the gallery's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import InvalidRequest
from toonface_gallery.interchange.portable import PortableFaces

# Similarities are told apart to 1e-4, finer than any model's, over the whole range of cosines.
STEPS: Final = 20_000

# Errors that must be expected for a rate to be known: a count of k has a standard error of sqrt(k), here a third.
EXPECTED_ERRORS: Final = 10


# Faces that are compared at once: with 4,000 samples their scores are 4 MB, which caches hold and allocators keep.
_BLOCK: Final = 256


@dataclass(frozen=True, slots=True)
class Rate:
    """A threshold for one way of counting false accepts.

    Attributes:
        trials: comparisons that it rests on.
        threshold: 0 to 1, the lowest at which at most the wanted share of them is accepted; 1 where none does.
        rate: share of the trials that it accepts.
        smallest: the smallest rate that so many trials can tell, 0 to 1.
    """

    trials: int
    threshold: float
    rate: float
    smallest: float


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a gallery says of thresholds.

    Attributes:
        faces, labels: how many it has.
        far: the wanted false-accept rate, 0 to 1.
        searches: false accepts counted by search, which is what `rec_threshold` decides. None without a second label.
        pairs: false accepts counted by pair of faces of different labels. None without a second label.
        same_pairs: pairs of faces of one label.
        known: sampled faces whose label has other faces.
        found: share of these that `searches.threshold` names, and rightly; None where there are none.
        edges: FP64 [B+1], bounds of the bins below, -1 to 1.
        different, same: INT64 [B], pairs by similarity.
        strangers, acquaintances: INT64 [B], sampled faces by their best similarity to other labels, and to their own.
    """

    faces: int
    labels: int
    far: float
    searches: Rate | None
    pairs: Rate | None
    same_pairs: int
    known: int
    found: float | None
    edges: NDArray[np.float64]
    different: NDArray[np.int64]
    same: NDArray[np.int64]
    strangers: NDArray[np.int64]
    acquaintances: NDArray[np.int64]

    @property
    def enough(self) -> bool:
        """Whether the gallery is large enough for the wanted rate."""
        return self.searches is not None and self.searches.smallest <= self.far


def calibrate(
    portions: Callable[[], Iterable[PortableFaces]], faces: int, far: float, *, samples: int = 4000, seed: int = 0
) -> Calibration:
    """Compare sampled faces with all faces of a gallery.

    Args:
        portions: reads the whole gallery, with ids and embeddings FP32 [N,D] of unit length; called twice.
        faces: how many there are.
        far: the wanted false-accept rate, above 0 and below 1.
        samples: faces to sample, at most; all where there are fewer. Time grows with this and the gallery's size.
        seed: of the sample.

    Raises:
        InvalidRequest: `far` or `samples` is out of range, or the gallery has fewer than two faces.
    """
    if not 0 < far < 1:
        raise InvalidRequest(f"the false-accept rate is {far:g}; it must be above 0 and below 1")
    if samples < 2:
        raise InvalidRequest(f"{samples} sampled faces are too few; it must be at least 2")
    if faces < 2:
        raise InvalidRequest(f"the gallery has {faces} faces; it takes two or more to compare any")
    scores = _Scores(_sampled(portions(), faces, samples, seed))
    for portion in portions():
        scores.add(portion)
    return scores.calibration(far)


def _sampled(portions: Iterable[PortableFaces], faces: int, samples: int, seed: int) -> PortableFaces:
    """Some faces, each as likely as any other."""
    chosen = np.sort(np.random.default_rng(seed).permutation(faces)[:samples])
    parts, start = [], 0
    for portion in portions:
        inside = chosen[(chosen >= start) & (chosen < start + len(portion))] - start
        parts.append(portion.take(inside))
        start += len(portion)
    return PortableFaces.joined(parts)


class _Scores:
    """Similarities of the sampled faces to all others, as they come in."""

    def __init__(self, sampled: PortableFaces) -> None:
        self._sampled = sampled
        self._codes = {label: code for code, label in enumerate(dict.fromkeys(sampled.labels))}
        self._own = np.array([self._codes[label] for label in sampled.labels])
        self._best_other = np.full(len(sampled), -np.inf, np.float32)
        self._best_own = np.full(len(sampled), -np.inf, np.float32)
        self._different = np.zeros(STEPS, np.int64)
        self._same = np.zeros(STEPS, np.int64)
        self._labels: set[str] = set()
        self._faces = 0

    def add(self, faces: PortableFaces) -> None:
        """Compare with some faces more."""
        self._labels.update(faces.labels)
        self._faces += len(faces)
        for start in range(0, len(faces), _BLOCK):
            self._compare(faces.part(start, start + _BLOCK))

    def _compare(self, faces: PortableFaces) -> None:
        codes = np.array([self._codes.get(label, -1) for label in faces.labels])
        scores = faces.embeddings @ self._sampled.embeddings.T
        itself = faces.ids[:, None] == self._sampled.ids
        own = (codes[:, None] == self._own) & ~itself
        other = codes[:, None] != self._own
        for best, mask in ((self._best_other, other), (self._best_own, own)):
            np.maximum(best, np.where(mask, scores, -np.inf).max(axis=0, initial=-np.inf), out=best)
        # Two sampled faces meet twice; the pair counts once.
        again = np.isin(faces.ids, self._sampled.ids)[:, None] & (faces.ids[:, None] < self._sampled.ids)
        self._different += _histogram(scores[other & ~again])
        self._same += _histogram(scores[own & ~again])

    def calibration(self, far: float) -> Calibration:
        """The result, after all faces were added."""
        strangers = _histogram(self._best_other[np.isfinite(self._best_other)])
        known = np.isfinite(self._best_own)
        searches = _rate(strangers, far)
        found = None
        if searches is not None and known.any():
            # As the stage compares them: in single precision, and the threshold itself counts.
            right = (self._best_own >= np.float32(searches.threshold)) & (self._best_own > self._best_other)
            found = float(right[known].mean())
        return Calibration(
            faces=self._faces,
            labels=len(self._labels),
            far=far,
            searches=searches,
            pairs=_rate(self._different, far),
            same_pairs=int(self._same.sum()),
            known=int(known.sum()),
            found=found,
            edges=np.linspace(-1, 1, STEPS + 1),
            different=self._different,
            same=self._same,
            strangers=strangers,
            acquaintances=_histogram(self._best_own[known]),
        )


def _histogram(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    bins = np.clip((scores.astype(np.float64) + 1) * (STEPS / 2), 0, STEPS - 1).astype(np.int64)
    return np.bincount(bins, minlength=STEPS)


def _rate(impostors: NDArray[np.int64], far: float) -> Rate | None:
    """The lowest bin bound from which on at most the wanted share of the impostors lies."""
    trials = int(impostors.sum())
    if not trials:
        return None
    # above[b]: impostors in bin b and beyond; a threshold at that bin's lower bound accepts them.
    above = np.append(np.cumsum(impostors[::-1])[::-1], 0)
    first = int(np.argmax(above <= np.floor(far * trials)))
    first = min(max(first, STEPS // 2), STEPS)  # `rec_threshold` is 0 to 1
    return Rate(
        trials=trials,
        threshold=round(2 * first / STEPS - 1, 6),
        rate=float(above[first]) / trials,
        smallest=min(1.0, EXPECTED_ERRORS / trials),
    )
