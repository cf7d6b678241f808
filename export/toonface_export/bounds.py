"""What the figures of parity may be at most, for each precision: the one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from toonface_contract.errors import ConfigError
from toonface_export.figures import Figures
from toonface_export.triton_config import Computed

MEANINGS: Mapping[str, str] = {
    "box_difference_px": "largest difference of a detection's box edge, in pixels of the detector's input",
    "lost_overlap": "largest part of a detection's box beside Paddle's: 1 - intersection over union",
    "score_difference": "largest difference of a detection's score",
    "unmatched_share": "share of the detections that only one side made",
    "raw_box_difference_px": "mean difference of all boxes before the NMS, in pixels of the detector's input",
    "raw_score_difference": "largest difference of a score before the NMS",
    "cosine_distance": "largest cosine distance between both sides' embeddings of one face",
    "raw_difference": "largest difference of one number of an embedding",
    "changed_decisions": "share of the faces on whose threshold or nearest neighbour the sides do not agree",
}

Bounds = Mapping[Computed, Mapping[str, float]]

_INF = math.inf

# Measured on the two shipped models, and on ResNet50_face with random weights:
# about a third of each limit or less, in INT8 two thirds. In F32 both sides differ by the order of summation alone.
_LIMITS: Mapping[Computed, tuple[float, ...]] = {
    #  box edge, overlap, score, unmatched, raw box, raw score, cosine, raw, decisions
    "f32": (0.05, 0.005, 1e-3, 0.02, 0.01, 1e-3, 1e-5, 1e-3, 0.0),
    "f16": (1.0, 0.05, 0.01, 0.05, 0.1, 0.02, 1e-4, 5e-3, 0.0),
    "bf16": (16.0, 0.15, 0.1, 0.1, 1.0, 0.1, 5e-4, 0.01, 0.0),
    "int8": (_INF, 0.25, 0.15, 0.1, 4.0, 0.4, 5e-3, 0.05, 0.02),
}
BOUNDS: Bounds = {precision: dict(zip(MEANINGS, limits, strict=True)) for precision, limits in _LIMITS.items()}


def tightened(bounds: Bounds, changes: Sequence[str]) -> Bounds:
    """The table with some limits lowered.

    Args:
        bounds: the table.
        changes: `FIGURE=LIMIT`, for all precisions whose limit is larger, or `PRECISION.FIGURE=LIMIT`.

    Raises:
        ConfigError: a change is not of that form, names something unknown, or is larger than the table's limit, of
            every precision if it names none.
    """
    table: dict[str, dict[str, float]] = {precision: dict(limits) for precision, limits in bounds.items()}
    for change in changes:
        precision, figure, limit = _parts(change)
        if figure not in MEANINGS or precision not in ("", *table) or not limit >= 0:
            raise ConfigError(
                f"bound {change!r} is not understood; write FIGURE=LIMIT or PRECISION.FIGURE=LIMIT with a limit of 0 "
                f"or more, a figure of {', '.join(MEANINGS)}, and a precision of {', '.join(table)}"
            )
        changed = [table[precision]] if precision else list(table.values())
        loosest = max(limits[figure] for limits in changed)
        if limit > loosest:
            raise ConfigError(f"bound {change!r} is looser than the table's {loosest:g}; bounds can only be tightened")
        for limits in changed:
            limits[figure] = min(limits[figure], limit)
    return {precision: table[precision] for precision in bounds}


def replaced(limits: Mapping[str, float], precision: Computed, changes: Sequence[str]) -> Mapping[str, float]:
    """The limits of one precision, with those that changes of the table name for it in their places.

    Args:
        limits: tightened before, perhaps, and by more than now.
        precision: theirs.
        changes: as `tightened` takes them, and has taken these.
    """
    new = dict(limits)
    for kind, figure, limit in map(_parts, changes):
        if kind in ("", precision) and limit <= BOUNDS[precision][figure]:
            new[figure] = limit
    return new


def finite(limits: Mapping[str, float], figures: Figures) -> dict[str, float]:
    """The limits as manifests hold them: of these figures, without infinite ones, which JSON cannot say."""
    return {name: limit for name, limit in limits.items() if name in figures and math.isfinite(limit)}


def scaled(bounds: Mapping[str, float], factor: float) -> Mapping[str, float]:
    """The limits of one precision, multiplied."""
    return {name: limit * factor for name, limit in bounds.items()}


def missed(figures: Figures, limits: Mapping[str, float]) -> list[str]:
    """Names of the figures that are over their limits; one that is not a number is over every limit."""
    return [name for name, limit in limits.items() if name in figures and not figures[name].value <= limit]


def misses(figures: Figures, limits: Mapping[str, float]) -> list[str]:
    """Each figure that is over its limit, in words: by how much, in which picture, and what it measures."""
    return [
        f"{name} is {figures[name].value:.3g}, allowed is {limits[name]:g}, worst in {figures[name].picture} "
        f"({MEANINGS[name]})"
        for name in missed(figures, limits)
    ]


def _parts(change: str) -> tuple[str, str, float]:
    """Precision (empty for all of them), figure and limit of a change; the limit is NaN if it is no number."""
    place, _, text = change.partition("=")
    precision, _, figure = place.rpartition(".")
    try:
        return precision, figure, float(text)
    except ValueError:
        return precision, figure, math.nan
