"""A share of counted cases, with what it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

# Two-sided 95 %: the standard normal's quantile at 0.975.
_Z = 1.959963984540054
# In JSON.
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `of` cases.

    Attributes:
        hits: cases that count, 0 to `of`.
        of: all cases.
    """

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None of no cases."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval at 95 %: what the share may be, if the cases were drawn by lot and apart.

        Of no cases it is 0 to 1. Source: E. B. Wilson, Probable inference, the law of succession, and statistical
        inference, JASA 22 (1927).
        """
        if not self.of:
            return 0.0, 1.0
        share, spread = self.hits / self.of, _Z**2 / self.of
        centre = share + spread / 2
        half = _Z * math.sqrt(share * (1 - share) / self.of + spread / self.of / 4)
        # Of none, or of all, rounding must not leave a rest.
        low = (centre - half) / (1 + spread) if self.hits else 0.0
        return low, (centre + half) / (1 + spread) if self.hits < self.of else 1.0

    def as_dict(self) -> dict[str, Any]:
        """The rate for JSON: `value`, `hits`, `of`, `low` and `high`."""
        low, high = (round(end, _DECIMALS) for end in self.interval)
        value = None if self.value is None else round(self.value, _DECIMALS)
        return {"value": value, "hits": self.hits, "of": self.of, "low": low, "high": high}
