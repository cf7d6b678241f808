"""Where the face is in a drawn character, from a table that `measuring` makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

TABLE = "face_boxes.json"
"""By style and variant of its head, the box [x1,y1,x2,y2] in fractions of the canvas."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; the unit (pixels, or fractions of a canvas) is for the user of it to know."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Length along x."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Length along y."""
        return self.y2 - self.y1

    @property
    def centre(self) -> NDArray[np.float64]:
        """Its middle, FP64 [2], (x, y)."""
        return np.array([(self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2])

    def scaled(self, factor: float) -> Box:
        """The box in a canvas `factor` times as large."""
        return Box(self.x1 * factor, self.y1 * factor, self.x2 * factor, self.y2 * factor)


def face_box(style_name: str, head: str = "") -> Box:
    """The box of the face, in fractions of the canvas: from ear to ear, from the forehead to below the mouth.

    Args:
        style_name: one of `ALL_STYLES`.
        head: variant of the style's head (`Identity.head`).

    Raises:
        KeyError: the table has no such style or head; `measuring` writes it anew.
    """
    return Box(*_table()[style_name][head])


@cache
def _table() -> dict[str, dict[str, list[float]]]:
    text = files("toonface_training.cartoon").joinpath(TABLE).read_text(encoding="utf-8")
    table: dict[str, dict[str, list[float]]] = json.loads(text)
    return table
