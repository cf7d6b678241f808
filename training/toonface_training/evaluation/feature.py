"""How well an embedder tells characters apart: on pairs, and against a gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_training.evaluation.datasets import GallerySet, Pair, style_of
from toonface_training.evaluation.embedded import Embeddings, Numbering, embed_files, first_of_each
from toonface_training.evaluation.metrics.identification import Identification, identify
from toonface_training.evaluation.metrics.pairs import PairAccuracy, pair_accuracy
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.metrics.scores import Acceptance, ScoreCounts, tar_at_far
from toonface_training.evaluation.subjects import Embedder
from toonface_training.evaluation.tracking import Track, silent

FARS = (1e-2, 1e-3)
RANKS = (1, 5)

# Smallest norm to divide by, as in exported graphs.
_MIN_NORM = 1e-12


@dataclass(frozen=True, eq=False)
class PairOutcome:
    """Pairs told apart.

    Attributes:
        pairs: the pairs.
        similarities: FP32 [N], of each pair.
        served: the accuracy of the embeddings as they are served.
        mirrored_too: the accuracy with the features of the mirrored picture added to those of the picture, as PaddleX's
            own evaluation has it (`flip_test`); None where it was not asked for.
        fars: false-accept rates to find thresholds for.
    """

    pairs: Sequence[Pair]
    similarities: NDArray[np.float32]
    served: PairAccuracy
    mirrored_too: PairAccuracy | None
    fars: Sequence[float] = FARS

    @property
    def genuine(self) -> ScoreCounts:
        """The similarities, as served, of the pairs that show one character."""
        return ScoreCounts.of(self.similarities[[pair.same for pair in self.pairs]])

    @property
    def impostors(self) -> ScoreCounts:
        """The similarities, as served, of the pairs that show two."""
        return ScoreCounts.of(self.similarities[[not pair.same for pair in self.pairs]])

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON."""
        return {
            "accuracy": asdict(self.served),
            "accuracy_flip_test": self.mirrored_too and asdict(self.mirrored_too),
            "verification": _acceptances(self.genuine, self.impostors, self.fars),
        }


@dataclass(frozen=True, eq=False)
class GalleryOutcome:
    """Probes looked up in a gallery.

    Attributes:
        shots: gallery pictures of each character, at most; None for all there are.
        gallery: positions in `GallerySet.gallery` of the pictures that took part; rows of `found.nearest` are positions
            among these.
        found: what the gallery says of each probe.
        rank1_by_style: rank 1 of the probes of each style, by name; empty where labels name no two styles.
        rec_threshold: the deployed one.
        fars: false-accept rates to find thresholds for.
    """

    shots: int | None
    gallery: Sequence[int]
    found: Identification
    rank1_by_style: Mapping[str, Rate]
    rec_threshold: float
    fars: Sequence[float] = FARS

    @property
    def name(self) -> str:
        """`shots` in words."""
        return "all" if self.shots is None else str(self.shots)

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON, with what they rest on."""
        found = self.found
        thresholds = {_label(far): found.threshold_for(far) for far in self.fars}
        return {
            "shots": self.shots,
            "gallery_pictures": len(self.gallery),
            "probes": len(found.ranks),
            **{f"rank{rank}": found.within(rank).as_dict() for rank in RANKS},
            "rank1_by_style": {style: rate.as_dict() for style, rate in self.rank1_by_style.items()},
            "deployed": decisions_dict(found, self.rec_threshold),
            "thresholds_for_far": {
                far: None if threshold is None else decisions_dict(found, threshold)
                for far, threshold in thresholds.items()
            },
            "verification": {
                "impostors": _acceptances(found.genuine, found.impostors, self.fars),
                "alike": _acceptances(found.genuine, found.alike, self.fars) if found.alike.total else None,
            },
        }


@dataclass(frozen=True, eq=False)
class FeatureOutcome:
    """All that was measured of an embedder; what its data did not allow is None or empty."""

    pairs: PairOutcome | None
    galleries: Sequence[GalleryOutcome]
    gallery_set: GallerySet | None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The main figures; first PaddleX's `acc`, which is with the flip test, or `acc_as_served` without it."""
        metrics: dict[str, float | None] = {}
        if self.pairs is not None and self.pairs.mirrored_too is not None:
            metrics["acc"] = self.pairs.mirrored_too.accuracy
        elif self.pairs is not None:
            metrics["acc_as_served"] = self.pairs.served.accuracy
        for outcome in self.galleries:
            for rank in RANKS:
                metrics[f"rank{rank}_{outcome.name}"] = outcome.found.within(rank).value
        return metrics

    def as_dict(self) -> dict[str, Any]:
        """All figures for JSON."""
        return {
            "pairs": self.pairs and self.pairs.as_dict(),
            "galleries": {outcome.name: outcome.as_dict() for outcome in self.galleries},
        }


def evaluate_feature(
    embedder: Embedder,
    *,
    pairs: Sequence[Pair] = (),
    gallery_set: GallerySet | None = None,
    rec_threshold: float,
    shots: Sequence[int] = (),
    fars: Sequence[float] = FARS,
    flip_test: bool = False,
    track: Track = silent,
) -> FeatureOutcome:
    """Embed every picture once, and compare.

    Args:
        embedder: what is evaluated.
        pairs: for the pair accuracy.
        gallery_set: for ranks, strangers and thresholds.
        rec_threshold: the deployed one.
        shots: how many gallery pictures of each character take part, in turn; all where it is empty.
        fars: false-accept rates to find thresholds for.
        flip_test: whether to give the pair accuracy as PaddleX's evaluation does, too.
        track: told of each picture.

    Raises:
        ToonfaceError: a picture cannot be read, there are fewer than ten pairs, or the embedder cannot answer.
    """
    listed = [*gallery_set.gallery, *gallery_set.probes] if gallery_set else []
    of_pairs = [path for pair in pairs for path in (pair.left, pair.right)]
    embeddings = embed_files(embedder, [*of_pairs, *(picture.path for picture in listed)], track)
    told = None
    if pairs:
        mirrored = embed_files(embedder, of_pairs, track, mirrored=True) if flip_test else None
        told = _tell_pairs(pairs, embeddings, mirrored, fars)
    every: list[int | None] = [*shots] if shots else [None]
    galleries = [look_up(gallery_set, embeddings, most, rec_threshold, fars) for most in every] if gallery_set else []
    return FeatureOutcome(told, galleries, gallery_set)


def decisions_dict(found: Identification, threshold: float) -> dict[str, Any]:
    """What a `rec_threshold` does, for JSON."""
    decided = found.decisions(threshold)
    return {
        "rec_threshold": threshold,
        "named_rightly": decided.right.as_dict(),
        "named_wrongly": decided.wrong.as_dict(),
        "strangers_named": decided.strangers.as_dict(),
        "named_if_not_enrolled": decided.not_enrolled.as_dict(),
    }


def _tell_pairs(
    pairs: Sequence[Pair], embeddings: Embeddings, mirrored: Embeddings | None, fars: Sequence[float]
) -> PairOutcome:
    same = np.array([pair.same for pair in pairs])
    left, right = (embeddings.of(paths) for paths in zip(*((pair.left, pair.right) for pair in pairs), strict=True))
    similarities = np.sum(left * right, axis=1)
    accuracy = None
    if mirrored is not None:
        # PaddleX adds the features before it normalises them; of unit vectors the sum has the same direction but for
        # the difference in length of the two.
        sums = [
            each + mirrored.of(paths)
            for each, paths in ((left, [p.left for p in pairs]), (right, [p.right for p in pairs]))
        ]
        # Opposite vectors add up to nothing, which is like nothing else.
        units = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), _MIN_NORM) for each in sums]
        accuracy = pair_accuracy(np.sum(units[0] * units[1], axis=1), same)
    return PairOutcome(pairs, similarities, pair_accuracy(similarities, same), accuracy, fars)


def look_up(
    gallery_set: GallerySet,
    embeddings: Embeddings,
    shots: int | None,
    rec_threshold: float,
    fars: Sequence[float] = FARS,
) -> GalleryOutcome:
    """Compare embedded probes with an embedded gallery.

    Args:
        gallery_set: the gallery and the probes; where labels are a style and a number, `alike` and `rank1_by_style`
            count by style.
        embeddings: of all their files, and perhaps of others.
        shots: how many gallery pictures of each character take part; None for all.
        rec_threshold: the deployed one.
        fars: false-accept rates to find thresholds for.
    """
    kept = first_of_each(gallery_set.gallery, shots)
    gallery, probes = [gallery_set.gallery[position] for position in kept], gallery_set.probes
    labels = Numbering()
    styles, probe_styles = ([style_of(picture.label) for picture in pictures] for pictures in (gallery, probes))
    groups: dict[str, NDArray[np.int64]] = {}
    if any(styles):
        # Who has no style is alike to nobody.
        numbers = Numbering()
        groups["gallery_groups"] = numbers.of(style or "\0" for style in styles)
        groups["probe_groups"] = numbers.of(style or f"\0{row}" for row, style in enumerate(probe_styles))
    found = identify(
        embeddings.of(picture.path for picture in probes),
        labels.of(picture.label for picture in probes),
        embeddings.of(picture.path for picture in gallery),
        labels.of(picture.label for picture in gallery),
        **groups,
    )
    return GalleryOutcome(shots, kept, found, _rank1_by_style(probe_styles, found), rec_threshold, fars)


def _rank1_by_style(styles: Sequence[str | None], found: Identification) -> dict[str, Rate]:
    of_each = np.array([style or "" for style in styles])
    named = dict.fromkeys(of_each[found.known & (of_each != "")].tolist())
    return {style: found.within(1, of_each == style) for style in named} if len(named) > 1 else {}


def _acceptances(genuine: ScoreCounts, impostors: ScoreCounts, fars: Sequence[float]) -> dict[str, Any]:
    return {_label(far): _acceptance(tar_at_far(genuine, impostors, far)) for far in fars}


def _acceptance(at: Acceptance | None) -> dict[str, Any] | None:
    return None if at is None else {"threshold": at.threshold, "tar": at.tar.as_dict(), "far": at.far.as_dict()}


def _label(far: float) -> str:
    return f"{far:g}"
