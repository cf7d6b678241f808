"""From DiceBear options to pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import resvg_py
from dicebear import Avatar
from numpy.typing import NDArray

from toonface_training.cartoon.styles import renderer

Sprite = NDArray[np.uint8]
"""Picture with transparency: UINT8 [H,W,4], RGB and straight alpha."""


def draw(style_name: str, options: Mapping[str, Any], side: int) -> Sprite:
    """Draw one picture of a style, on a transparent canvas.

    Args:
        style_name: any DiceBear style, not only those of characters.
        options: DiceBear options, such as `vary` gives; equal options give equal pixels.
        side: width and height in pixels.

    Returns:
        UINT8 [side,side,4], RGBA with straight alpha.
    """
    svg = Avatar(renderer(style_name), dict(options)).to_string()
    encoded = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    bgra = cv2.imdecode(np.frombuffer(bytes(encoded), np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA), dtype=np.uint8)
