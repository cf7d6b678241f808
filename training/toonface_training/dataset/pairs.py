"""How many different pairs of pictures there are to validate with."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def possible_pairs(pictures: Sequence[int]) -> tuple[int, int]:
    """How many pairs of one identity there are, and how many of two, where each has so many pictures."""
    of_one = sum(comb(count, 2) for count in pictures)
    return of_one, comb(sum(pictures), 2) - of_one
