"""Draws a cast's gallery and the pictures to recognise, and writes down who is where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toonface_training.cartoon import backgrounds
from toonface_training.cartoon.identity import Identity
from toonface_training.cartoon.placing import Pixels
from toonface_training.cartoon.scenes import Scene, group_scene, light, paste_thing, portrait
from toonface_training.demo.cast import Cast

GALLERY_LIST = "gallery/gallery.txt"
EXPECTED = "expected.json"
STRANGER = "Unknown"
PORTRAITS_EACH = 3

_PORTRAIT_SIDE = 144
_JPEG_QUALITY = 90
_EXIF_ORIENTATION = 0x0112
# Value 6: the rows of the file are the columns of the upright picture, from right to left (EXIF 2.32, 4.6.4).
_STORED_LYING = 6


@dataclass(frozen=True)
class Plan:
    """One picture to draw.

    Attributes:
        name: of the file, without its suffix.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        named: how many characters of the gallery are in it.
        strangers: how many others.
        lying: whether the file holds the picture on its side, with an EXIF orientation, as telephones write it.
    """

    name: str
    width: int
    height: int
    named: int
    strangers: int = 0
    lying: bool = False


PLANS = (
    Plan("friends", 1280, 720, named=5),
    Plan("telephone", 900, 1200, named=4, lying=True),
    Plan("class", 1600, 1000, named=12),
    Plan("two", 640, 480, named=2),
    Plan("stranger", 1024, 768, named=2, strangers=1),
    Plan("nobody", 1000, 700, named=0),
)


def write_gallery(cast: Cast, folder: Path, lots: np.random.Generator) -> None:
    """Write three portraits of each named character, and PaddleX's list of them, `path label` a line."""
    gallery_list = folder / GALLERY_LIST
    gallery_list.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (name, identity) in enumerate(cast.named.items(), start=1):
        for take in range(1, PORTRAITS_EACH + 1):
            red, green, blue = lots.integers(150, 256, 3).tolist()
            file = f"{number:02d}-{take}.jpg"
            pixels = portrait(identity, _PORTRAIT_SIDE, (red, green, blue), lots)
            Image.fromarray(pixels).save(gallery_list.parent / file, quality=_JPEG_QUALITY)
            lines.append(f"{file} {name}\n")
    gallery_list.write_text("".join(lines), encoding="utf-8")


def write_pictures(cast: Cast, folder: Path, seed: int, takes: Mapping[str, int]) -> None:
    """Write the pictures of `PLANS`, and `expected.json`: the file, size and faces (label, box) of each.

    Args:
        cast: who may be in them.
        folder: of the demo.
        seed: of the demo; decides who is in which picture.
        takes: by picture name, which of its takes to write; 0 where it is not named. Each take has the same characters
            in another order, with other poses, expressions, light and background.
    """
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    casting = np.random.default_rng([seed, 2])
    # Everybody is in a picture before anybody is in a second one.
    appearances = sum(plan.named for plan in PLANS)
    order = [name for _ in range(-(-appearances // len(cast.named))) for name in casting.permutation(list(cast.named))]
    expected = []
    for number, plan in enumerate(PLANS):
        labels, order = [str(name) for name in order[: plan.named]], order[plan.named :]
        labels += [STRANGER] * plan.strangers
        lots = np.random.default_rng([seed, 3, number, takes.get(plan.name, 0)])
        lots.shuffle(labels)
        scene = _draw(plan, [cast.named.get(label, cast.stranger) for label in labels], lots)
        _save(scene.pixels, pictures / f"{plan.name}.jpg", lying=plan.lying)
        expected.append(_truth(plan, labels, scene))
    text = json.dumps({"pictures": expected}, ensure_ascii=False, indent=1)
    (folder / EXPECTED).write_text(text + "\n", encoding="utf-8")


def _draw(plan: Plan, cast: Sequence[Identity], lots: np.random.Generator) -> Scene:
    paint = backgrounds.scenery if lots.random() < 0.7 else backgrounds.gradient
    background = paint(plan.width, plan.height, lots)
    if cast:
        return group_scene(background, cast, lots)
    for _ in range(5):
        side = int(lots.integers(plan.height // 6, plan.height // 3))
        x, y = int(lots.integers(plan.width - side)), int(lots.integers(plan.height - side))
        paste_thing(background, backgrounds.thing(side, lots), x, y)
    return Scene(light(background, lots), ())


def _save(pixels: Pixels, path: Path, *, lying: bool) -> None:
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if lying:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[_EXIF_ORIENTATION] = _STORED_LYING
    image.save(path, quality=_JPEG_QUALITY, exif=exif)


def _truth(plan: Plan, labels: Sequence[str], scene: Scene) -> dict[str, Any]:
    return {
        "file": f"pictures/{plan.name}.jpg",
        "width": plan.width,
        "height": plan.height,
        "faces": [
            {
                "label": label,
                "box": [round(value, 1) for value in (face.box.x1, face.box.y1, face.box.x2, face.box.y2)],
            }
            for label, face in zip(labels, scene.faces, strict=True)
        ],
    }
