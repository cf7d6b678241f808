"""What a box of an annotation must be."""

from __future__ import annotations

import sys
from typing import Any

# Annotation tools round; a box may reach so far over the edge, in pixels.
_TOLERANCE = 1.0


def wrong_with_box(box: Any, width: int, height: int) -> str | None:
    """What is wrong with `x, y, width, height` in pixels; None where it is a box in a picture of the given size."""
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(edge) for edge in box):
        return f"bbox {box} is not four numbers: x, y, width, height"
    x, y, across, down = map(float, box)
    if across <= 0 or down <= 0:
        return f"bbox {box} has no area"
    if min(x, y) < -_TOLERANCE or x + across - _TOLERANCE > width or y + down - _TOLERANCE > height:
        return f"bbox {box} reaches outside its image of {width} x {height} pixels"
    return None


def in_view(box: list[float], width: int, height: int) -> bool:
    """Whether anything is left of a sound box once it is cut at the edges of its picture."""
    x, y, across, down = box
    return min(x + across, width) > max(x, 0) and min(y + down, height) > max(y, 0)


def _is_number(value: Any) -> bool:
    """Neither `NaN` nor an infinite one, which Python's JSON knows, nor a whole one that no float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
