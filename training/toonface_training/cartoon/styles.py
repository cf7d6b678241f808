"""The DiceBear styles of characters: which of their parts make the character, and which differ between its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from dicebear import Style

# Skin, hair and accessory colours, wider than the styles' own, so that one style gives many distinct characters.
SKIN = tuple(
    "#ffe4d1 #f9c9b6 #f5d7b1 #f1c3a5 #edb98a #e0b687 #d08b5b #c68e7a "
    "#ae5d29 #a36b4f #8d5524 #77311d #5c3829 #f8d25c #fd9841 #ffffff".split()
)
HAIR = tuple(
    "#0e0e0e #2c1b18 #4a312c #724133 #a55728 #c93305 #d6b370 #ecdcbf #e8e1e1 #afafaf "
    "#f59797 #dba3be #592454 #9287ff #1d5dff #85c2c6 #3eac2c #0fa958 #f24e1e #ffc700".split()
)
ACCESSORY = tuple(
    "#262e33 #3c4f5c #65c9ff #25557c #e6e6e6 #a7ffc4 #ff488e #ff5c5c #f4d150 #6d4c9f #b1620a #ffffff".split()
)
# Notionists are drawn in ink on paper: the "skin" is the paper, and stays pale.
PAPER = ("#ffffff", "#fff4e6", "#fde8d7", "#f3e2d0")
# For characters that are no humans. Paint is light enough for the dark ink and shade of eyes, mouths and hair.
PAINT = tuple(
    "#ffffff #cbd5e1 #94a3b8 #fda4af #ee6a6a #d9775f #fdba74 #f28c28 #fcd34d #c9a227 #c8a27c #bef264 "
    "#84b547 #2fae7c #6ee7b7 #2dd4bf #7dd3fc #3b9ae1 #a5b4fc #7c7fe8 #f0abfc #c45fd0".split()
)
LEAVES = tuple(
    "#4ade80 #10b981 #15803d #a3e635 #7a8f3a #2dd4bf #d9a441 #c2553a #8e4162 #5b8def #f3e9c6 #4a3b32".split()
)
INK = tuple("#161616 #5b2a12 #12306b #0b5d3b #8a1538 #4b1d7a".split())
SHADE = (*INK, "#a55728", "#c93305", "#1d5dff")
SCREEN = tuple("#161a21 #0b3d2e #1e1b6b #5a1020 #4a4a55 #4a3000".split())
GLOW = tuple("#3bc9db #69db7c #ffd43b #ff6b6b #e599f7 #74c0fc #ffffff".split())


@dataclass(frozen=True)
class CartoonStyle:
    """How the parts of one DiceBear style are used.

    Attributes:
        name: DiceBear's name of the style.
        skin: the colour that paints the face.
        eyes: the component that draws the eyes.
        mouth: the component that draws the mouth; the same as `eyes` where one component draws the whole expression.
        expression: components that differ from picture to picture, and are always drawn.
        colours: palette of each colour that belongs to the character, in the order in which they are drawn by lot.
        free_colours: colours that differ from picture to picture, taken from the style's own values.
        clothes: components that differ from picture to picture.
        hidden: components that are never drawn, since they cover the face.
        excluded: variants that are never used: no human face, or a covered one.
        habit: a component of the expression which, with the given probability, is fixed for a character to one of
            these variants (glasses that a style counts among the eyes). No other character has them.
        head: the component whose variants have faces of different shape; None where there is only one shape.
        skin_tones: the palette of `skin`.
    """

    name: str
    skin: str
    eyes: str
    mouth: str
    expression: tuple[str, ...]
    colours: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    free_colours: tuple[str, ...] = ()
    clothes: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    habit: Mapping[str, tuple[tuple[str, ...], float]] = field(default_factory=dict)
    head: str | None = "head"
    skin_tones: tuple[str, ...] = SKIN

    def variants(self, component: str) -> list[str]:
        """The variants of a component that any character may have, in the style's order."""
        habitual, _ = self.habit.get(component, ((), 0))
        left_out = {*habitual, *self.excluded.get(component, ())}
        return [
            variant for variant in definition(self.name)["components"][component]["variants"] if variant not in left_out
        ]


_FACE = ("eyes", "mouth")
_FACE_AND_BROWS = ("eyes", "eyebrows", "mouth")
# Sunglasses, a patch over one eye, and three pairs of glasses.
_CROODLES_GLASSES = ("variant09", "variant10", "variant13", "variant14", "variant15")
# Of characters that are no humans: what is no expression among their eyes.
_BOT_VISORS = ("eva", "frame1", "frame2", "robocop", "roundFrame01", "roundFrame02", "sensor", "shade01")
_CLAY_EYES = ("mono", "trio", "dots", "pinprick")
_CRITTER_EYES = ("mono", "monoSleepy", "trio", "threeRow", "four")

STYLES: Mapping[str, CartoonStyle] = {
    style.name: style
    for style in (
        CartoonStyle(
            "lorelei",
            "skin",
            *_FACE,
            _FACE_AND_BROWS,
            {"hair": HAIR, "glasses": ACCESSORY, "earrings": ACCESSORY, "hairAccessories": ACCESSORY},
        ),
        CartoonStyle(
            "notionists",
            "paper",
            *_FACE,
            _FACE_AND_BROWS,
            clothes=("clothes", "clothesGraphic"),
            hidden=("gesture",),
            skin_tones=PAPER,
        ),
        CartoonStyle(
            "open-peeps",
            "skin",
            "expression",
            "expression",
            ("expression",),
            {"headContrast": HAIR},
            ("clothing",),
            hidden=("mask",),
            excluded={"expression": frozenset({"cyclops", "monster"})},
            head=None,
        ),
        CartoonStyle(
            "adventurer",
            "skin",
            *_FACE,
            _FACE_AND_BROWS,
            {"hair": HAIR, "glasses": ACCESSORY, "earrings": ACCESSORY},
        ),
        CartoonStyle(
            "micah",
            "base",
            *_FACE,
            _FACE_AND_BROWS,
            {"hair": HAIR, "facialHair": HAIR, "glasses": ACCESSORY, "earring": ACCESSORY},
            ("shirt", "eyeShadow"),
            ("clothes",),
        ),
        CartoonStyle("toon-head", "skin", *_FACE, _FACE_AND_BROWS, {"hair": HAIR}, ("clothes",), ("clothes",)),
        CartoonStyle(
            "avataaars",
            "skin",
            *_FACE,
            _FACE_AND_BROWS,
            {"hair": HAIR, "facialHair": HAIR, "hat": ACCESSORY, "accessories": ACCESSORY},
            ("clothes",),
            ("clothes", "clothesGraphic"),
            excluded={"mouth": frozenset({"vomit"}), "eyes": frozenset({"hearts"})},
            head=None,
        ),
        CartoonStyle(
            "personas",
            "skin",
            *_FACE,
            _FACE,
            {"hair": HAIR, "facialHair": HAIR},
            ("clothing",),
            ("clothes",),
            excluded={"mouth": frozenset({"pacifier"})},
            habit={"eyes": (("glasses", "sunglasses"), 0.2)},
            head=None,
        ),
        CartoonStyle(
            "big-smile",
            "skin",
            *_FACE,
            _FACE,
            {"hair": HAIR},
            excluded={"accessories": frozenset({"faceMask", "sleepMask"})},
        ),
        CartoonStyle("dylan", "skin", "mood", "mood", ("mood",), {"hair": HAIR}, head=None),
        CartoonStyle("miniavs", "skin", *_FACE, _FACE, {"hair": HAIR}, ("body",), ("body",)),
        CartoonStyle("big-ears", "skin", *_FACE, _FACE, {"hair": HAIR}),
        CartoonStyle(
            "croodles",
            "base",
            *_FACE,
            _FACE,
            {"top": HAIR, "facialHair": HAIR},
            # One of its mouths has a beard.
            excluded={"mouth": frozenset({"variant08"})},
            habit={"eyes": (_CROODLES_GLASSES, 0.3)},
        ),
        CartoonStyle(
            "pixel-art",
            "skin",
            *_FACE,
            _FACE,
            {"hair": HAIR, "hat": ACCESSORY, "glasses": ACCESSORY, "accessories": ACCESSORY},
            ("eyes", "mouth", "clothing"),
            ("clothes",),
            head=None,
        ),
    )
}

"""What data sets are made of."""

EXTRA_STYLES: Mapping[str, CartoonStyle] = {
    style.name: style
    for style in (
        CartoonStyle(
            "bottts",
            "base",
            *_FACE,
            _FACE,
            habit={"eyes": (_BOT_VISORS, 0.5)},
            skin_tones=PAINT,
        ),
        # It has a mouth, and no eyes.
        CartoonStyle("cameo", "body", "mouth", "mouth", ("mouth",), {"shade": SHADE}, head="shape", skin_tones=PAINT),
        CartoonStyle(
            "clay",
            "body",
            *_FACE,
            _FACE,
            free_colours=("accent",),
            clothes=("pattern",),
            hidden=("animation",),
            habit={"eyes": (_CLAY_EYES, 0.5)},
            head="body",
            skin_tones=PAINT,
        ),
        CartoonStyle(
            "critters",
            "body",
            *_FACE,
            _FACE,
            free_colours=("accent",),
            clothes=("pattern", "cheeks"),
            hidden=("animation",),
            habit={"eyes": (_CRITTER_EYES, 0.5)},
            head="body",
            skin_tones=PAINT,
        ),
        CartoonStyle(
            "cutouts",
            "paperFace",
            *_FACE,
            _FACE,
            {"paperHair": HAIR},
            ("paperMouth", "paperBack"),
            skin_tones=PAINT,
        ),
        CartoonStyle(
            "marbles",
            "sphere",
            *_FACE,
            _FACE,
            {"blend": PAINT, "tint": PAINT, "ink": INK},
            head=None,
            skin_tones=PAINT,
        ),
        CartoonStyle(
            "sprouts",
            "pot",
            *_FACE,
            _FACE,
            {"plant": LEAVES},
            ("bloom",),
            ("pattern", "cheeks"),
            hidden=("animation",),
            head="pot",
            skin_tones=PAINT,
        ),
        CartoonStyle(
            "voxel-art",
            "skin",
            *_FACE,
            _FACE_AND_BROWS,
            {"hair": HAIR, "hat": ACCESSORY},
            ("shirt", "pants", "shoes", "jacket"),
            ("outfit",),
            hidden=("animation",),
            head=None,
        ),
        CartoonStyle(
            "voxel-bot",
            "body",
            *_FACE,
            _FACE,
            {"accent": ACCESSORY, "screen": SCREEN, "glow": GLOW},
            clothes=("chest",),
            hidden=("animation",),
            habit={"eyes": (("visor", "cyclops"), 0.4)},
            head=None,
            skin_tones=PAINT,
        ),
    )
}
"""Drawn only to train embedders on, if asked for: never to validate or to test with, nor in scenes."""

ALL_STYLES: Mapping[str, CartoonStyle] = {**STYLES, **EXTRA_STYLES}


@cache
def definition(name: str) -> Any:
    """DiceBear's definition of a style: `components`, `colors`, and `meta` with its artist and licence."""
    return json.loads((files("dicebear_styles") / f"{name}.json").read_text(encoding="utf-8"))


@cache
def renderer(name: str) -> Style:
    """DiceBear's compiled style."""
    return Style(definition(name))
