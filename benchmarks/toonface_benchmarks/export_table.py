"""The rows of `toonface bench export` as the table in benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toonface_benchmarks.export import Row
from toonface_benchmarks.speeds import BATCHES

_HEAD = (
    "model",
    "engine",
    "MB",
    "nodes",
    "conversion, s",
    "parity with Paddle",
    *(f"batch {batch}, ms" for batch in BATCHES),
    "at best, 1/s",
    "times Paddle: " + ", ".join(map(str, BATCHES)),
    "CPU ms",
    "times Paddle",
)
# The figures that say most, and their names in the table.
_FIGURES = {
    "lost_overlap": "1-IoU",
    "score_difference": "score",
    "unmatched_share": "unmatched",
    "cosine_distance": "1-cos",
    "changed_decisions": "decisions",
}


def head() -> str:
    """The table's first two lines."""
    return "\n".join([_line(_HEAD), _line(["---"] * len(_HEAD))])


def lines(rows: Iterable[Row]) -> str:
    """A line for each row; each ratio is the median of the rounds, with the smallest and the largest."""
    return "\n".join(_line(_cells(row)) for row in rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    return [
        row.model if row.trained else f"{row.model}, random",
        f"{row.engine} {row.precision}",
        f"{row.megabytes:.1f}",
        "" if row.nodes is None else str(row.nodes),
        "" if row.seconds is None else f"{row.seconds:.0f}",
        _parity(row),
        *_times(row),
    ]


def _times(row: Row) -> list[str]:
    speed = row.speed
    if speed is None:
        return [""] * (len(BATCHES) + 4)
    paddle = row.engine == "paddle"
    ratios = [_ratio(speed.ratio[batch], speed.ratio_range[batch]) for batch in BATCHES]
    return [
        *(f"{speed.milliseconds[batch]:.1f}" for batch in BATCHES),
        f"{speed.throughput:.1f}",
        "" if paddle else ", ".join(ratios),
        f"{speed.cpu_milliseconds:.1f}",
        "" if paddle else _ratio(speed.cpu_ratio, speed.cpu_ratio_range),
    ]


def _ratio(median: float, ends: tuple[float, float]) -> str:
    return f"{median:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def _parity(row: Row) -> str:
    figures = [f"{short} {row.parity[name]:.1g}" for name, short in _FIGURES.items() if name in row.parity]
    over = [" **over its bound**"] if row.missed else []
    return ", ".join(figures) + "".join(over)
