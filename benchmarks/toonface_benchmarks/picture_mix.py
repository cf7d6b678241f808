"""The pictures that loads are made of: sizes and numbers of faces as a service meets them, drawn from a seed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from toonface_training.cartoon import backgrounds
from toonface_training.cartoon.identity import choose_identities
from toonface_training.cartoon.scenes import group_scene, light
from toonface_training.demo_models import STYLES

_T = TypeVar("_T")

# Width and height, and how many of 20 pictures have them: mostly what telephones, web pages and cameras send.
SIZES = (((320, 240), 2), ((640, 480), 5), ((1280, 720), 6), ((1920, 1080), 5), ((3840, 2160), 2))
# Faces, and how many of 20 pictures have so many.
FACES = ((0, 3), (1, 6), (2, 4), (3, 2), (4, 2), (6, 1), (8, 1), (12, 1))

# Seeds of characters that neither training nor the demo uses.
_FIRST_SEED = 990_000
# A crowd does not fit into the smallest pictures.
_PIXELS_A_FACE = 20_000
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class MixedPicture:
    """One picture of the mix.

    Attributes:
        encoded: a JPEG file.
        width: in pixels.
        height: in pixels.
        faces: how many there are in it.
    """

    encoded: bytes
    width: int
    height: int
    faces: int


def picture_mix(count: int, seed: int) -> Iterator[MixedPicture]:
    """Draw `count` pictures; of every 20, sizes and faces come as often as `SIZES` and `FACES` say.

    Which size meets which number of faces is drawn by lot, except that the largest crowds go to the largest pictures
    where they would not fit otherwise.
    """
    lots = np.random.default_rng(seed)
    sizes = _dealt(SIZES, count, lots)
    faces = _dealt(FACES, count, lots)
    characters = [
        identity for style in STYLES for identity in choose_identities(style, 4, first_seed=_FIRST_SEED + 100 * seed)
    ]
    for position, (width, height) in enumerate(sizes):
        if faces[position] * _PIXELS_A_FACE > width * height:
            # Changes places with the largest picture that has fewer faces.
            other = max(range(count), key=lambda each: (faces[each] < faces[position], sizes[each]))
            faces[position], faces[other] = faces[other], faces[position]
    for (width, height), number in zip(sizes, faces, strict=True):
        paint = backgrounds.scenery if lots.random() < 0.7 else backgrounds.gradient
        background = paint(width, height, lots)
        cast = [characters[each] for each in lots.choice(len(characters), number, replace=False)]
        pixels = group_scene(background, cast, lots).pixels if cast else light(background, lots)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
        yield MixedPicture(file.getvalue(), width, height, number)


def _dealt(shares: Sequence[tuple[_T, int]], count: int, lots: np.random.Generator) -> list[_T]:
    """`count` values in a random order, each as often as its share of 20 says, as nearly as `count` allows."""
    deck = [value for value, share in shares for _ in range(share)]
    cards = [deck[card % len(deck)] for card in np.linspace(0, len(deck), count, endpoint=False).astype(int)]
    return [cards[card] for card in lots.permutation(count)]
