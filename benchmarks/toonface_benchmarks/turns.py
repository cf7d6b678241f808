"""Works that take turns, and how their speeds compare round by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")

# Threads of some engines go on spinning for a while, and would be in the next one's way.
_REST_SECONDS = 0.5


def turns(works: Mapping[str, Callable[[], _T]], rounds: int, tell: Callable[[str], None]) -> dict[str, list[_T]]:
    """The results of works that take turns, by name; who begins changes from round to round."""
    results: dict[str, list[_T]] = {name: [] for name in works}
    names = list(works)
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(works[name]())
            time.sleep(_REST_SECONDS)
    return results


def times(mine: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The ratio of two speeds round by round: its median, and its smallest and largest."""
    ratios = [fast / slow for fast, slow in zip(mine, theirs, strict=True)]
    return {"toonface_times": statistics.median(ratios), "toonface_times_range": [min(ratios), max(ratios)]}
