"""Who is it, among many: ranks on a gallery, and strangers who are in no gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.metrics.scores import ScoreCounts

# Similarities that are in memory at once: 16 MB of them, and about eight times that while they are counted.
_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Identification:
    """What a gallery says of P probes.

    A probe is of somebody known when its label is in the gallery, else of a stranger.

    Attributes:
        known: BOOL [P]: whose character is in the gallery.
        ranks: INT64 [P]: 1 where no other character is as similar as the right one, 2 where one is, and so on; 0 for
            strangers.
        nearest: INT64 [P], the row of the most similar gallery picture.
        scores: FP32 [P], its similarity.
        others: FP32 [P], the similarity of the most similar picture of anybody else; -1 where there is none. It is what
            the gallery would say if the probe's character were not in it.
        genuine: similarities of each probe to the gallery's pictures of the same character.
        impostors: of each probe to those of all others.
        alike: of each probe to those of others of the same group (such as the style of the drawing).
    """

    known: NDArray[np.bool_]
    ranks: NDArray[np.int64]
    nearest: NDArray[np.int64]
    scores: NDArray[np.float32]
    others: NDArray[np.float32]
    genuine: ScoreCounts
    impostors: ScoreCounts
    alike: ScoreCounts

    def within(self, rank: int, among: NDArray[np.bool_] | None = None) -> Rate:
        """Known probes, of `among` (BOOL [P]) if given, whose character is among the `rank` most similar ones."""
        ranks = self.ranks[self.known if among is None else self.known & among]
        return Rate(int((ranks <= rank).sum()), len(ranks))

    def decisions(self, threshold: float) -> Decisions:
        """What comes of a `rec_threshold`: a probe gets the nearest one's name from this similarity on."""
        named, known, right = self.scores >= np.float32(threshold), self.known, self.ranks == 1
        return Decisions(
            threshold=threshold,
            right=Rate(int((named & right).sum()), int(known.sum())),
            wrong=Rate(int((named & known & ~right).sum()), int(known.sum())),
            strangers=Rate(int((named & ~known).sum()), int((~known).sum())),
            not_enrolled=Rate(int((self.others >= np.float32(threshold)).sum()), len(self.others)),
        )

    def threshold_for(self, far: float) -> float | None:
        """The `rec_threshold` at which at most the share `far` of the strangers get a name.

        None without strangers, and where more of them than that have a similarity of 1.
        """
        return ScoreCounts.of(self.scores[~self.known]).threshold_for(far)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Names given at one threshold.

    Attributes:
        threshold: the `rec_threshold`.
        right: known probes that got their own name.
        wrong: known probes that got somebody else's.
        strangers: strangers who got a name: the false-accept rate.
        not_enrolled: probes, known or not, that would get a name if their character were not in the gallery.
    """

    threshold: float
    right: Rate
    wrong: Rate
    strangers: Rate
    not_enrolled: Rate


def identify(
    probes: NDArray[np.float32],
    probe_labels: NDArray[np.int64],
    gallery: NDArray[np.float32],
    gallery_labels: NDArray[np.int64],
    *,
    probe_groups: NDArray[np.int64] | None = None,
    gallery_groups: NDArray[np.int64] | None = None,
) -> Identification:
    """Compare every probe with every gallery picture.

    The similarities are made and counted piece by piece, so that 100,000 probes on a gallery of as many need no more
    memory than their embeddings twice over and some 100 MB.

    Args:
        probes: FP32 [P,D], of unit length.
        probe_labels: INT64 [P], whose picture it is.
        gallery: FP32 [G,D], of unit length, G > 0.
        gallery_labels: INT64 [G].
        probe_groups: INT64 [P], for `alike`.
        gallery_groups: INT64 [G], for `alike`.
    """
    order = np.argsort(gallery_labels, kind="stable")
    labels, starts = np.unique(gallery_labels[order], return_index=True)
    sorted_gallery, sorted_labels = np.ascontiguousarray(gallery[order].T), gallery_labels[order]
    sorted_groups = None if gallery_groups is None else gallery_groups[order]
    count = len(probes)
    found = Identification(
        known=np.isin(probe_labels, labels),
        ranks=np.zeros(count, np.int64),
        nearest=np.zeros(count, np.int64),
        scores=np.zeros(count, np.float32),
        others=np.full(count, -1, np.float32),
        genuine=ScoreCounts(),
        impostors=ScoreCounts(),
        alike=ScoreCounts(),
    )
    step = max(1, _AT_ONCE // len(gallery))
    for start in range(0, count, step):
        piece = slice(start, min(start + step, count))
        scores = probes[piece] @ sorted_gallery
        own = probe_labels[piece, np.newaxis] == sorted_labels
        found.genuine.add(scores[own])
        found.impostors.add(scores[~own])
        if probe_groups is not None and sorted_groups is not None:
            found.alike.add(scores[~own & (probe_groups[piece, np.newaxis] == sorted_groups)])
        best = scores.argmax(axis=1)
        found.nearest[piece] = order[best]
        found.scores[piece] = scores[np.arange(len(scores)), best]
        _rank(np.maximum.reduceat(scores, starts, axis=1), labels, probe_labels[piece], found, piece)
    return found


def _rank(
    by_label: NDArray[np.float32],
    labels: NDArray[np.int64],
    probe_labels: NDArray[np.int64],
    found: Identification,
    piece: slice,
) -> None:
    """Fill in ranks and the best of the others, from the best similarity to each label, FP32 [P,L]."""
    rows = np.flatnonzero(found.known[piece])
    columns = np.searchsorted(labels, probe_labels[rows])
    own = np.full(len(by_label), np.inf, np.float32)
    own[rows] = by_label[rows, columns]
    # As similar counts as more similar: an embedder that gives everybody the same numbers is right about nobody. The
    # right one's own similarity is counted too, which makes the rank of the best one 1. Nothing is less than NaN.
    found.ranks[piece] = (~(by_label < own[:, np.newaxis])).sum(axis=1)
    by_label[rows, columns] = -1
    found.others[piece] = by_label.max(axis=1)
