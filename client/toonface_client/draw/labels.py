"""Labels of faces: their text, their size, and where they go."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from toonface_client.draw.text import Line, clusters_of, drawable, line_of

Colour = tuple[int, int, int]

# Below this many pixels letters cannot be told apart; a label that does not fit in this size is shortened.
_SMALLEST_SIZE = 9
# A long name first shrinks, to this share, then loses letters, but not so many that nothing can be read from it.
_MOST_SHRINKING = 0.6
_FEWEST_LETTERS = 3
# No label is wider than half the picture, unless the picture is narrower than twice this many pixels.
_NARROW = 160
_ELLIPSIS = "\u2026"

# What a label costs for each of its own areas that covers something, and for each place further down the list.
_OVER_LABEL = 8.0
_OVER_OTHER_FACE = 4.0
_OVER_OWN_FACE = 1.0
_LATER_PLACE = 0.01


@dataclass(frozen=True, slots=True)
class Label:
    """A name and a score, laid out. Lengths in pixels.

    Attributes:
        parts: the name, and the score where there is one; apart, so that a right-to-left name cannot reorder the score.
        padding: around the text; twice that between the parts.
        ascent: from the top of the text to its baseline.
        descent: from the baseline to the bottom of the text.
    """

    parts: tuple[Line, ...]
    padding: int
    ascent: int
    descent: int

    @property
    def width(self) -> int:
        """Of the whole label."""
        return round(sum(part.width() for part in self.parts) + 0.5) + 2 * self.padding * len(self.parts)

    @property
    def height(self) -> int:
        """Of the whole label."""
        return self.ascent + self.descent + 2 * self.padding

    def draw(self, canvas: ImageDraw.ImageDraw, left: int, top: int, colour: Colour) -> None:
        """Draws a filled label; its text is black or white, whichever stands out more."""
        canvas.rectangle((left, top, left + self.width - 1, top + self.height - 1), fill=colour)
        x = float(left + self.padding)
        for part in self.parts:
            part.draw(canvas, x, top + self.padding + self.ascent, contrasting(colour))
            x += part.width() + 2 * self.padding


def fitted_label(name: str, score: str | None, size: int, width: int, height: int) -> Label | None:
    """A label that fits into a picture: smaller, then shortened, then without its score, where it must be.

    Args:
        name: in any script.
        score: after the name.
        size: wanted size of the font, in pixels.
        width: of the picture, in pixels.
        height: of the picture, in pixels.

    Returns:
        The label, or None when the picture has no room for any.
    """
    name = drawable(name) or "?"
    width_limit = min(width, max(width // 2, _NARROW))
    smallest = max(_SMALLEST_SIZE, round(size * _MOST_SHRINKING))

    def fits(label: Label) -> bool:
        return label.width <= width_limit and label.height <= height

    for each in range(size, smallest - 1, -1):
        label = _label(name, score, each)
        if fits(label):
            return label
    clusters = list(clusters_of(name))
    for tail in (score, None):
        # The most letters that fit beside an ellipsis, which are no fewer than some.
        lengths = range(_FEWEST_LETTERS, len(clusters))
        fitting = bisect_right(
            lengths, width_limit, key=lambda length: _label(_shortened(clusters, length), tail, smallest).width
        )
        if fitting:
            label = _label(_shortened(clusters, lengths[fitting - 1]), tail, smallest)
            return label if fits(label) else None
    label = _label(name, None, smallest)
    return label if fits(label) else None


def place(
    size: tuple[int, int],
    face: NDArray[np.float64],
    other_faces: NDArray[np.float64],
    labels: Sequence[tuple[int, int, int, int]],
    picture: tuple[int, int],
) -> tuple[int, int]:
    """Where a label goes: inside the picture, at its face, and over other faces and labels as little as can be.

    Args:
        size: width and height of the label, at most those of the picture.
        face: [4], x1, y1, x2, y2 of its face.
        other_faces: [N, 4], the other faces.
        labels: the labels placed before, as left, top, right, bottom.
        picture: width and height of the picture.

    Returns:
        Left and top of the label, in pixels.
    """
    width, height = size
    x1, y1, x2, y2 = face
    middle, right = (x1 + x2 - width) / 2, x2 - width
    # Best first: above, below, beside, then over the face itself.
    places = np.array(
        [(x1, y1 - height), (right, y1 - height), (middle, y1 - height)]
        + [(x1, y2), (right, y2), (middle, y2)]
        + [(x2, y1), (x1 - width, y1), (x2, y2 - height), (x1 - width, y2 - height)]
        + [(x1, y1), (x1, y2 - height)]
    )
    places = np.clip(np.rint(places), 0, (picture[0] - width, picture[1] - height))
    rectangles = np.concatenate([places, places + (width, height)], axis=1)
    covered = (
        _OVER_OWN_FACE * _overlaps(rectangles, face[None])
        + _OVER_OTHER_FACE * _overlaps(rectangles, other_faces)
        + _OVER_LABEL * _overlaps(rectangles, np.array(labels, dtype=np.float64).reshape(-1, 4))
    )
    cost = covered / (width * height) + _LATER_PLACE * np.arange(len(places))
    left, top = places[int(np.argmin(cost))]
    return int(left), int(top)


def contrasting(colour: Colour) -> Colour:
    """Black or white, whichever has the higher contrast ratio to a colour (WCAG 2.2, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else (255, 255, 255)


def _shortened(clusters: Sequence[str], length: int) -> str:
    return "".join(clusters[:length]).rstrip() + _ELLIPSIS


def _label(name: str, score: str | None, size: int) -> Label:
    parts = tuple(line_of(text, size) for text in (name, score) if text)
    tops, bottoms = zip(*(part.ink() for part in parts), strict=True)
    # Letters without ascenders make no lower label than those with; tall scripts make a higher one.
    return Label(
        parts,
        padding=max(1, size // 5),
        ascent=round(max(0.75 * size, -min(tops))),
        descent=round(max(0.22 * size, max(bottoms))),
    )


def _overlaps(rectangles: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of each rectangle [R, 4] that others [N, 4] cover, in square pixels, counted once for each of them: [R]."""
    low = np.maximum(rectangles[:, None, :2], others[None, :, :2])
    high = np.minimum(rectangles[:, None, 2:], others[None, :, 2:])
    areas: NDArray[np.float64] = np.prod(np.clip(high - low, 0, None), axis=2).sum(axis=1)
    return areas
