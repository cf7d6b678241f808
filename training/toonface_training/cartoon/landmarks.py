"""The five points of a drawn face: eyes, nose and ends of the mouth, measured by ablation as its box is.

A bare head (no hair, no beard, no glasses) is drawn with and without the part; the pixels that differ are the part.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import draw
from toonface_training.cartoon.face_box import face_box
from toonface_training.cartoon.measuring import changed
from toonface_training.cartoon.styles import ALL_STYLES, definition

NAMES = ("left_eye", "right_eye", "nose", "left_mouth_corner", "right_mouth_corner")
"""In the order of ArcFace's alignment; left and right are the viewer's."""

_SIDE = 128
# A skin that neither the white nor the black of eyes is like.
_SKIN = "#e08060"
# Where the eyes are across the part that draws both, if they cannot be told apart (joined by glasses, or in one line).
_EYES_ACROSS = (0.22, 0.78)
# One component may draw the whole expression: eyes in this upper part of it, the mouth in that lower part.
_UPPER, _LOWER = 0.35, 0.65
# Dylan's eyes belong to the head; its moods draw brows and mouth. Cameo has none; they would be here.
_FIXED_EYES = {"dylan": ((0.396, 0.482), (0.624, 0.478)), "cameo": ((0.38, 0.48), (0.62, 0.48))}
# From the eyes down to the mouth, where a style draws no nose.
_NOSE_DOWN = 0.55

Points = NDArray[np.float64]
"""FP64 [5,2], (x, y) of `NAMES`."""


def landmarks(style_name: str, options: Mapping[str, Any]) -> Points:
    """The five points of one picture, in fractions of the canvas.

    Args:
        style_name: one of `ALL_STYLES`.
        options: of the picture, as `vary` gives them.
    """
    style = ALL_STYLES[style_name]
    head = str(options.get(f"{style.head}Variant", "")) if style.head else ""

    def variant(component: str) -> str:
        return str(options.get(f"{component}Variant", ""))

    eyes = _eyes(style_name, head, variant(style.eyes))
    mouth = _mouth(style_name, head, variant(style.mouth))
    nose = None
    if "nose" in definition(style_name)["components"] and options.get("noseProbability", 100):
        nose = _nose(style_name, head, variant("nose"))
    if nose is None:
        nose = eyes.mean(axis=0) * (1 - _NOSE_DOWN) + mouth.mean(axis=0) * _NOSE_DOWN
    return np.vstack([eyes, nose, mouth])


def moved_points(points: Points, matrix: NDArray[np.float64], *, mirrored: bool) -> Points:
    """The points in a picture, through the affine map `matrix` [2,3]; left and right stay the viewer's."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[[1, 0, 2, 4, 3]] if mirrored else moved)


@cache
def _eyes(style_name: str, head: str, variant: str) -> Points:
    if style_name in _FIXED_EYES:
        return np.array(_FIXED_EYES[style_name])
    mask = _part(style_name, head, ALL_STYLES[style_name].eyes, variant)
    if ALL_STYLES[style_name].eyes == ALL_STYLES[style_name].mouth:
        mask = _rows(mask, 0.0, _UPPER)
    if not mask.any():
        box = face_box(style_name, head)
        return np.array([[box.x1 + across * box.width, box.y1 + 0.5 * box.height] for across in (0.3, 0.7)])
    left, right, top, bottom = _bounds(mask)
    gap = _middle_gap(mask)
    if gap is None:
        return np.array([[left + across * (right - left), (top + bottom) / 2] for across in _EYES_ACROSS]) / _SIDE
    centres = []
    for half in (slice(None, gap), slice(gap, None)):
        eye = np.zeros_like(mask)
        eye[:, half] = mask[:, half]
        x1, x2, y1, y2 = _bounds(eye)
        centres.append([(x1 + x2) / 2, (y1 + y2) / 2])
    return np.array(centres) / _SIDE


@cache
def _mouth(style_name: str, head: str, variant: str) -> Points:
    mask = _part(style_name, head, ALL_STYLES[style_name].mouth, variant)
    if style_name in _FIXED_EYES:
        mask[: round(_FIXED_EYES[style_name][0][1] * _SIDE)] = False
    elif ALL_STYLES[style_name].eyes == ALL_STYLES[style_name].mouth:
        mask = _rows(mask, _LOWER, 1.0)
    if not mask.any():
        box = face_box(style_name, head)
        return np.array([[box.x1 + across * box.width, box.y1 + 0.8 * box.height] for across in (0.4, 0.6)])
    left, right, *_ = _bounds(mask)
    # Each corner is as high as the part of the mouth that is near its end.
    corners = []
    margin = max((right - left) // 8, 1)
    for x, near in ((left, slice(left, left + margin)), (right, slice(right - margin, right))):
        rows = np.flatnonzero(mask[:, near].any(axis=1))
        corners.append([x, (rows[0] + rows[-1] + 1) / 2])
    return np.array(corners) / _SIDE


@cache
def _nose(style_name: str, head: str, variant: str) -> Points | None:
    mask = _part(style_name, head, "nose", variant)
    if not mask.any():
        return None
    left, right, top, bottom = _bounds(mask)
    return np.array([[(left + right) / 2, (top + bottom) / 2]]) / _SIDE


def _part(style_name: str, head: str, component: str, variant: str) -> NDArray[np.bool_]:
    """BOOL [SIDE,SIDE], the pixels of one variant of a component on a bare head."""
    style = ALL_STYLES[style_name]
    options: dict[str, Any] = {"seed": "0", "idRandomization": False, f"{style.skin}Color": [_SKIN]}
    for other, parts in definition(style_name)["components"].items():
        if "variants" in parts:
            options[f"{other}Probability"] = 100 if other == style.head else 0
    if style.head and head:
        options[f"{style.head}Variant"] = head
    options |= {f"{component}Variant": variant, f"{component}Probability": 100}
    if not style.head and "head" in definition(style_name)["components"]:
        options["headProbability"] = 100  # its variants are haircuts: the face is drawn on it
    return changed(draw(style_name, options, _SIDE), draw(style_name, options | {f"{component}Probability": 0}, _SIDE))


def _rows(mask: NDArray[np.bool_], first: float, last: float) -> NDArray[np.bool_]:
    """The mask between two heights, in parts of its own height."""
    kept = np.zeros_like(mask)
    if mask.any():
        _, _, top, bottom = _bounds(mask)
        rows = slice(round(top + first * (bottom - top)), round(top + last * (bottom - top)))
        kept[rows] = mask[rows]
    return kept


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and behind-the-last column, then row, of the true pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1


def _middle_gap(mask: NDArray[np.bool_]) -> int | None:
    """The middle column of the widest gap between two eyes, or None where there is none in the middle half."""
    left, right, *_ = _bounds(mask)
    columns = np.flatnonzero(mask.any(axis=0))
    gaps = np.diff(columns)
    widest = int(gaps.argmax()) if len(gaps) else 0
    if not len(gaps) or gaps[widest] < 2:
        return None
    middle = int(columns[widest] + columns[widest + 1] + 1) // 2
    quarter = (right - left) / 4
    return middle if left + quarter <= middle <= right - quarter else None
