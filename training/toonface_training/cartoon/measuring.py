"""Measures by ablation where the face is in a drawn character.

The styles nest transforms, so positions cannot be read off the drawing's source. Instead a part is drawn and left out,
and the pixels that differ are the part. The same with two skin colours gives the skin. That takes half a second for
each shape of head, so the boxes are kept in a table:

    python -m toonface_training.cartoon.measuring
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import Sprite, draw
from toonface_training.cartoon.face_box import TABLE, Box
from toonface_training.cartoon.identity import draw_identity, vary
from toonface_training.cartoon.styles import ALL_STYLES, definition

# Pictures measured for each shape of head; the median of them is the box. Fewer let a wide grin move it.
_SAMPLES = 9
_SIDE = 256
# Sum over RGB of the difference at which a pixel has changed; below it is the blur of an edge.
_DIFFERENT = 40

# Styles with one face only, whose parts do not tell where it is: dylan's hair covers its sides, and one component draws
# all of the face; pixel-art has sixteen pixels; cameo has no eyes.
_FIXED = {
    "dylan": (0.11, 0.14, 0.88, 0.84),
    "pixel-art": (0.10, 0.06, 0.90, 0.81),
    "cameo": (0.12, 0.14, 0.88, 0.90),
}


def measured_box(style_name: str, head: str) -> Box:
    """The box of the face, in fractions of the canvas: from ear to ear, from the forehead to below the mouth.

    It is the box that the demo models were trained on. Its sides are those of the skin beside eyes and mouth. Its
    bottom is below the mouth by 0.45 of the distance from eyes to mouth. Its top is above the eyes by 1.7 of that
    distance (2.2 where the two are close together), or lower where the face would be taller than 1.15 of its width.
    The distance says nothing of chin and forehead where it is more than 0.41 of the width, as in some heads of croodles
    (it is 0.25 to 0.4 in all other styles); these have 0.17 of the width below the mouth, and 0.54 above the eyes.

    Args:
        style_name: one of `ALL_STYLES`.
        head: variant of the style's head; "" for a style that has one shape only.
    """
    if style_name in _FIXED:
        return Box(*_FIXED[style_name])
    measured = [_measure(style_name, head, number) for number in range(_SAMPLES)]
    # Sunglasses may hide the eyes, and a beard the mouth; there are enough pictures without.
    eyes_y, mouth_y, mouth_bottom, left, right = np.median([each for each in measured if each is not None], axis=0)
    distance, width = mouth_y - eyes_y, right - left
    left, right = max(left - 0.02, 0.0), min(right + 0.02, 1.0)
    if distance > 0.41 * width:
        return Box(left, max(eyes_y - 0.54 * width, 0.0), right, min(mouth_bottom + 0.17 * width, 1.0))
    bottom = min(mouth_bottom + 0.45 * distance, 1.0)
    forehead = eyes_y - (1.7 if distance > 0.12 else 2.2) * distance
    top = max(bottom - 1.15 * width, forehead, 0.0)
    return Box(left, top, right, bottom)


def _measure(style_name: str, head: str, number: int) -> tuple[float, ...] | None:
    """Eyes' and mouth's middle, mouth's bottom (y), the face's left and right end (x), in fractions of the canvas."""
    style = ALL_STYLES[style_name]
    options = vary(draw_identity(style_name, number), np.random.default_rng(number))
    if style.head and head:
        options[f"{style.head}Variant"] = head

    def without(component: str) -> Sprite:
        return draw(style_name, {**options, f"{component}Probability": 0}, _SIDE)

    def with_skin(colour: str) -> Sprite:
        return draw(style_name, {**options, f"{style.skin}Color": [colour]}, _SIDE)

    whole = draw(style_name, options, _SIDE)
    eyes, mouth = (_extent(changed(whole, without(part))) for part in (style.eyes, style.mouth))
    if eyes is None or mouth is None:
        return None
    if style.eyes == style.mouth:  # one component for the whole expression: eyes above, mouth below
        height = eyes.height
        eyes, mouth = replace(eyes, y2=eyes.y1 + 0.35 * height), replace(mouth, y1=mouth.y1 + 0.65 * height)
    skin = changed(with_skin("#ff00ff"), with_skin("#00ff00"))[int(eyes.y1) : int(mouth.y2)]
    columns = np.flatnonzero(skin.sum(axis=0) >= max(2, 0.1 * len(skin)))
    if not len(columns):
        return None
    pixels = (eyes.centre[1], mouth.centre[1], mouth.y2, columns[0], columns[-1] + 1)
    return tuple(float(value) / _SIDE for value in pixels)


def changed(one: Sprite, other: Sprite) -> NDArray[np.bool_]:
    """BOOL [H,W], where two pictures of one size differ; transparent pixels are alike, whatever colour they have."""
    seen, seen_other = (sprite[..., :3] * (sprite[..., 3:] / 255.0) for sprite in (one, other))
    return np.asarray(np.abs(seen - seen_other).sum(axis=-1) > _DIFFERENT)


def _extent(mask: NDArray[np.bool_]) -> Box | None:
    """The rectangle around the true pixels, or None where there are next to none."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 4:
        return None
    return Box(float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))


def heads(style_name: str) -> list[str]:
    """The variants of a style's head that have faces of their own shape; [""] where there is one shape only."""
    head = ALL_STYLES[style_name].head
    components = definition(style_name)["components"]
    return ALL_STYLES[style_name].variants(head) if head and head in components else [""]


def main() -> None:
    """Write the table of all styles."""
    table = {style: {head: _edges(measured_box(style, head)) for head in heads(style)} for style in ALL_STYLES}
    rows = ",\n".join(f"{json.dumps(style)}: {json.dumps(boxes)}" for style, boxes in table.items())
    (Path(__file__).parent / TABLE).write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")


def _edges(box: Box) -> list[float]:
    return [float(edge) for edge in (box.x1, box.y1, box.x2, box.y2)]


if __name__ == "__main__":
    main()
