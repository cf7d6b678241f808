"""What characters stand in front of, and things near them that are no faces."""

from __future__ import annotations

import string
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import Sprite, draw

# DiceBear styles that show no face, all CC0.
SCENERY = ("landscape", "waves", "triangles")
THINGS = ("planets", "rings", "shapes")
# More of them, for data sets; CC0 too, but for icons (MIT) and glyphs (CC BY 4.0).
PATTERNS = (*SCENERY, "patchwork", "loops", "stripes", "weave", "disco", "glass")
OBJECTS = (*THINGS, "stack", "slice", "icons", "glyphs", "identicon", "shape-grid", "blobs", "constellation", "shadows")

# Drawings of patterns are slow (up to 0.2 s): each style has this many, cut, turned and coloured anew each time.
_DRAWINGS_EACH = 16
_PATTERN_SIDE, _OBJECT_SIDE = 320, 128
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)


def scenery(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """A drawn landscape or pattern, UINT8 [height,width,3], RGB."""
    side = max(width, height)
    drawn = draw(str(lots.choice(SCENERY)), {"seed": str(lots.integers(1 << 30))}, side)[..., :3]
    # The lower part of a landscape is the ground: keep it.
    return np.ascontiguousarray(drawn[side - height :, (side - width) // 2 :][:, :width])


def gradient(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """A soft run of four colours, one from each corner, UINT8 [height,width,3], RGB."""
    corners = lots.integers(60, 256, (2, 2, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def thing(side: int, lots: np.random.Generator) -> Sprite:
    """A drawn object that is no face, UINT8 [side,side,4], RGBA."""
    return draw(str(lots.choice(THINGS)), {"seed": str(lots.integers(1 << 30))}, side)


def backdrop(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """Any background: plain, a gradient, a mosaic, clutter or a drawn pattern; UINT8 [height,width,3], RGB."""
    kind = lots.random()
    if kind < 0.12:
        return np.full((height, width, 3), lots.integers(0, 256, 3), np.uint8)
    if kind < 0.3:
        return gradient(width, height, lots)
    if kind < 0.45:
        return _mosaic(width, height, lots)
    if kind < 0.6:
        return _clutter(width, height, lots)
    return _pattern(width, height, lots)


def distractor(lots: np.random.Generator) -> Sprite:
    """An object that is no face, with or without the card that it is drawn on, UINT8 [S,S,4], RGBA."""
    style = str(lots.choice(OBJECTS))
    return _drawing(style, int(lots.integers(_DRAWINGS_EACH)), _OBJECT_SIDE, bool(lots.random() < 0.3))


def lettering(lots: np.random.Generator) -> Sprite:
    """A few letters in one colour, UINT8 [H,W,4], RGBA."""
    text = "".join(lots.choice(list(string.ascii_letters + string.digits), int(lots.integers(2, 10))))
    font, scale, thickness = int(lots.choice(_FONTS)), lots.uniform(0.5, 2.0), int(lots.integers(1, 5))
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    sprite = np.zeros((height + below + 8, width + 8, 4), np.uint8)
    sprite[..., :3] = lots.integers(0, 256, 3)
    alpha = np.zeros(sprite.shape[:2], np.uint8)
    cv2.putText(alpha, text, (4, height + 4), font, scale, (255,), thickness, cv2.LINE_AA)
    sprite[..., 3] = alpha
    return sprite


def _mosaic(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    cells = lots.integers(0, 256, (*lots.integers(2, 16, 2), 3), dtype=np.uint8)
    smooth = cv2.INTER_CUBIC if lots.random() < 0.5 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(cells, (width, height), interpolation=smooth), dtype=np.uint8)


def _clutter(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """Discs, boxes, triangles and lines, filled or in outline."""
    pixels = np.full((height, width, 3), lots.integers(0, 256, 3), np.uint8)
    for _ in range(int(lots.integers(3, 25))):
        colour = lots.integers(0, 256, 3).tolist()
        points = lots.integers(0, (width, height), (3, 2)).astype(np.int32)
        kind, filled, thickness = lots.integers(4), lots.random() < 0.6, int(lots.integers(1, 6))
        first, second = points[0].tolist(), points[1].tolist()
        if kind == 0:
            radius = int(lots.integers(4, max(min(width, height) // 3, 5)))
            cv2.circle(pixels, first, radius, colour, -1 if filled else thickness, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(pixels, first, second, colour, -1 if filled else thickness)
        elif kind == 2:
            cv2.fillPoly(pixels, [points], colour, cv2.LINE_AA)
        else:
            cv2.line(pixels, first, second, colour, thickness, cv2.LINE_AA)
    return pixels


def _pattern(width: int, height: int, lots: np.random.Generator) -> NDArray[np.uint8]:
    """A cut of a drawn pattern, mirrored and in other colours by lot."""
    style = str(lots.choice(PATTERNS))
    drawing = _drawing(style, int(lots.integers(_DRAWINGS_EACH)), _PATTERN_SIDE, True)[..., :3]
    # The cut has the picture's aspect, and at least 0.4 of the drawing.
    side = _PATTERN_SIDE * lots.uniform(0.4, 1.0)
    cut_width, cut_height = (max(round(side * edge / max(width, height)), 8) for edge in (width, height))
    x, y = int(lots.integers(_PATTERN_SIDE - cut_width + 1)), int(lots.integers(_PATTERN_SIDE - cut_height + 1))
    cut = drawing[y : y + cut_height, x : x + cut_width]
    if lots.random() < 0.5:
        cut = cut[:, ::-1]
    cut = cut[..., lots.permutation(3)]
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=1024)
def _drawing(style: str, number: int, side: int, with_background: bool) -> Sprite:
    options = {"seed": f"{style}{number}"} | ({} if with_background else {"backgroundColor": ["#ffffff00"]})
    drawn = draw(style, options, side)
    drawn.setflags(write=False)
    return drawn
