"""Contact sheets: many small pictures on one, each with a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from toonface_client.draw.text import drawable, line_of
from toonface_training.evaluation.subjects import Pixels

Colour = tuple[int, int, int]
RED, GREEN, BLUE = (213, 94, 0), (0, 158, 115), (0, 114, 178)

_SIDE = 132
_GAP = 8
_TEXT = 12
_LINE = 17
_ACROSS = 8


@dataclass(frozen=True, eq=False)
class Tile:
    """One entry of a sheet.

    Attributes:
        pictures: UINT8 [H,W,3] each, side by side.
        text: lines below them.
    """

    pictures: Sequence[Pixels]
    text: Sequence[str]


def contact_sheet(tiles: Sequence[Tile]) -> Image.Image:
    """Lay tiles out in rows; all have as many pictures as the first, and as many lines.

    Args:
        tiles: at least one.
    """
    pictures, lines = len(tiles[0].pictures), len(tiles[0].text)
    width, height = pictures * _SIDE + _GAP, _SIDE + lines * _LINE + _GAP
    across = min(max(1, _ACROSS // pictures), len(tiles))
    rows = -(-len(tiles) // across)
    sheet = Image.new("RGB", (across * width + _GAP, rows * height + _GAP), "white")
    canvas = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left, top = _GAP + number % across * width, _GAP + number // across * height
        for place, picture in enumerate(tile.pictures):
            sheet.paste(_thumbnail(picture), (left + place * _SIDE, top))
        for line, text in enumerate(tile.text):
            _write(canvas, left, top + _SIDE + line * _LINE + _TEXT, text, width - _GAP)
    return sheet


def around(picture: Pixels, box: Sequence[float], boxes: Sequence[tuple[Sequence[float], Colour]]) -> Pixels:
    """A square cut-out around a box, with boxes drawn into it, that one with a thicker line.

    Args:
        picture: UINT8 [H,W,3].
        box: x1, y1, x2, y2: what to show.
        boxes: what to draw, each with its colour; all in pixels of the picture.
    """
    x1, y1, x2, y2 = box
    half = max(x2 - x1, y2 - y1, 16) * 0.9
    left, top = round((x1 + x2) / 2 - half), round((y1 + y2) / 2 - half)
    side, scale = max(1, round(2 * half)), _SIDE / max(1, round(2 * half))
    # Beyond the edge it is grey.
    cut = Image.new("RGB", (side, side), (230, 230, 230))
    cut.paste(Image.fromarray(picture), (-left, -top))
    cut = cut.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BILINEAR)
    canvas = ImageDraw.Draw(cut)
    for corners, colour in boxes:
        shown = [(value - start) * scale for value, start in zip(corners, (left, top) * 2, strict=True)]
        canvas.rectangle(shown, outline=colour, width=3 if list(corners) == list(box) else 1)
    return np.asarray(cut)


def _thumbnail(picture: Pixels) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE - 4, _SIDE - 4), Image.Resampling.LANCZOS)
    if max(image.size) < _SIDE - 4:
        factor = (_SIDE - 4) / max(image.size)
        image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    return image


def _write(canvas: ImageDraw.ImageDraw, left: int, baseline: int, text: str, width: int) -> None:
    text = drawable(text)
    line = line_of(text, _TEXT)
    while len(text) > 1 and line.width() > width:
        text = text[:-2] + "\u2026"
        line = line_of(text, _TEXT)
    line.draw(canvas, left, baseline, (40, 40, 40))
