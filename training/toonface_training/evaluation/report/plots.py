"""Plots of figures, on matplotlib, without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from toonface_training.evaluation.metrics.detection import SAME_FACE_IOU, Detections, TrueFaces, precision_recall
from toonface_training.evaluation.metrics.identification import Identification
from toonface_training.evaluation.metrics.scores import BINS, ScoreCounts, edges

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#707070"

_SIZE = (6.4, 4.4)
_MOST_RANKS = 20
_OVERLAPS = {0.5: BLUE, 0.75: ORANGE, 0.9: GREEN}
_BARS = 80


def precision_recall_plot(found: Sequence[Detections], truth: Sequence[TrueFaces], threshold: float) -> Figure:
    """Precision over recall at three overlaps; the dots are the deployed threshold."""
    figure, axes = _axes("recall: faces that are detected", "precision: detections that are faces")
    for overlap, colour in _OVERLAPS.items():
        precision, recall, scores = precision_recall(found, truth, overlap)
        axes.plot(recall, precision, color=colour, label=f"overlap from {overlap}")
        above = int((scores > threshold).sum())
        if above:
            axes.plot(recall[above - 1], precision[above - 1], "o", color=colour)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), title=f"Precision and recall; dots: above {threshold:g}")
    _legend(figure)
    return figure


def overlap_plot(overlaps: NDArray[np.float64]) -> Figure:
    """How well the boxes of found faces fit: a histogram of their overlaps, FP64 [N]."""
    figure, axes = _axes("overlap of box and face (intersection over union)", "faces")
    axes.hist(overlaps, bins=np.linspace(SAME_FACE_IOU, 1, 26).tolist(), color=BLUE)
    if len(overlaps):
        median = float(np.median(overlaps))
        axes.axvline(median, color=GREY, linestyle="--", label=f"median {median:.3f}")
        _legend(figure)
    axes.set(xlim=(SAME_FACE_IOU, 1), title="How well boxes fit")
    return figure


def roc_plot(genuine: ScoreCounts, impostors: Mapping[str, ScoreCounts]) -> Figure:
    """True accepts over false ones, the latter on a logarithmic axis down to one impostor."""
    figure, axes = _axes("false-accept rate", "true-accept rate")
    least = 0.1
    for (name, counts), colour in zip(impostors.items(), (BLUE, ORANGE, GREEN), strict=False):
        far, tar = counts.accepted() / max(counts.total, 1), genuine.accepted() / max(genuine.total, 1)
        shown = far > 0
        axes.step(far[shown], tar[shown], where="post", color=colour, label=f"against {name} ({counts.total:,} pairs)")
        least = min(least, 1 / max(counts.total, 1))
    for wanted in (1e-2, 1e-3):
        axes.axvline(wanted, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set(xlim=(least, 1), ylim=(0, 1.01), title=f"Verification, {genuine.total:,} pairs of the same character")
    _legend(figure)
    return figure


def score_plot(kinds: Mapping[str, ScoreCounts], threshold: float) -> Figure:
    """Histograms of similarities, each of which adds up to one, and the threshold that parts them."""
    figure, axes = _axes("similarity", "share of the pairs (each colour adds up to 1)")
    bars = edges()[:: BINS // _BARS]
    low = 1.0
    for (name, counts), colour in zip(kinds.items(), (BLUE, ORANGE, GREEN), strict=False):
        heights = counts.counts[:-1].reshape(_BARS, -1).sum(axis=1)
        heights[-1] += counts.counts[-1]
        heights = heights / max(counts.total, 1)
        axes.stairs(heights, bars, fill=True, alpha=0.45, color=colour, label=f"{name} ({counts.total:,} pairs)")
        if counts.total:
            low = min(low, float(bars[np.flatnonzero(heights)[0]]))
    axes.axvline(threshold, color=GREY, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set(xlim=(min(low, threshold) - 0.02, 1.02), title="Similarities")
    _legend(figure)
    return figure


def rank_plot(galleries: Mapping[str, Identification]) -> Figure:
    """Known probes whose character is among the nearest, over how many of these are looked at."""
    figure, axes = _axes("rank", "known probes whose character is within it")
    ranks = np.arange(1, _MOST_RANKS + 1)
    lowest = 1.0
    for (name, found), colour in zip(galleries.items(), (BLUE, ORANGE, GREEN), strict=False):
        shares = [found.within(int(rank)).value or 0.0 for rank in ranks]
        axes.plot(ranks, shares, "o-", markersize=3, color=colour, label=name)
        lowest = min(lowest, shares[0])
    axes.set(xlim=(1, _MOST_RANKS), ylim=(max(0, lowest - 0.05), 1.005), title="Identification")
    axes.set_xticks([1, 5, 10, 15, 20])
    _legend(figure)
    return figure


def open_set_plot(found: Identification, threshold: float) -> Figure:
    """What each `rec_threshold` would do: names that are right, and strangers that get one."""
    figure, axes = _axes("rec_threshold", "share")
    known, strangers = found.known, ~found.known
    right = ScoreCounts.of(found.scores[found.ranks == 1])
    axes.plot(edges(), right.accepted() / max(int(known.sum()), 1), color=BLUE, label="known faces named rightly")
    wrong = ScoreCounts.of(found.scores[found.ranks > 1])
    axes.plot(edges(), wrong.accepted() / max(int(known.sum()), 1), color=GREEN, label="known faces named wrongly")
    if strangers.any():
        named = ScoreCounts.of(found.scores[strangers])
        axes.plot(edges(), named.accepted() / named.total, color=ORANGE, label="strangers named")
    axes.axvline(threshold, color=GREY, linestyle="--", label=f"deployed: {threshold:g}")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), title="What a threshold decides")
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """Below the axes, where it hides nothing."""
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained", dpi=110)
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
