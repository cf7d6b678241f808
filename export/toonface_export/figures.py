"""How far two sets of answers are apart, in figures that each say in which picture they are worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Answers = Mapping[str, NDArray[np.float32]]
"""A network's outputs by name: `boxes` [N,A,4] and `scores` [N,A], or `embedding` [N,D], all FP32."""


@dataclass(frozen=True)
class Figure:
    """One figure over several pictures: the value, and the picture that is to blame for most of it."""

    value: float
    picture: str


Figures = Mapping[str, Figure]
"""Figures by name. Those that `toonface_export.bounds` does not know count what was compared."""


def worst(names: tuple[str, ...], values: list[float]) -> Figure:
    """The largest of the pictures' values."""
    # A NaN is the worst of all; argmax finds the first of them.
    row = int(np.argmax(values))
    return Figure(float(values[row]), names[row])


def share(names: tuple[str, ...], parts: list[float], wholes: list[float]) -> Figure:
    """The parts that the pictures have of all their wholes together."""
    return Figure(float(sum(parts) / max(sum(wholes), 1.0)), names[int(np.argmax(parts))])


def total(names: tuple[str, ...], counts: list[float]) -> Figure:
    """The pictures' counts together."""
    return Figure(float(sum(counts)), names[int(np.argmax(counts))])


def worst_of(comparisons: Sequence[Figures]) -> Figures:
    """Each figure as it is in the comparison in which it is largest, of several with the same figures."""
    return {
        name: max((figures[name] for figures in comparisons), key=lambda figure: _rank(figure.value))
        for name in comparisons[0]
    }


def _rank(value: float) -> float:
    return math.inf if math.isnan(value) else value


def figures_as_json(figures: Figures) -> dict[str, dict[str, float | str]]:
    """Figures as manifests hold them: value, and the picture that is to blame for most of it."""
    return {name: {"value": figure.value, "picture": figure.picture} for name, figure in figures.items()}
