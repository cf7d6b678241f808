"""Pictures with known answers: the demo's characters, drawn anew in other poses and expressions than its gallery's."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from toonface_client import Face, RecognitionResult
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.placing import Pixels
from toonface_training.cartoon.scenes import SceneFace, group_scene
from toonface_training.demo.__main__ import SEED
from toonface_training.demo.cast import Cast, choose_cast

BACKGROUND = (200, 220, 235)
DEMO = Path(__file__).resolve().parents[2] / "demo"


@dataclass(frozen=True)
class Scene:
    """A picture, and who is where in it."""

    image: Image.Image
    faces: tuple[SceneFace, ...]
    names: tuple[str, ...]

    def named(self, result: RecognitionResult) -> list[str | None]:
        """What the result calls each of the scene's faces; None where it has no face."""
        return [next((face.label for face in result.faces if _overlap(face, true) > 0.5), None) for true in self.faces]


@cache
def cast() -> Cast:
    return choose_cast(SEED)


@cache
def scene(count: int, *, columns: int = 8, cell: int = 160) -> Scene:
    """`count` of the demo's characters, in the order of its names and over again, each in a cell of the picture."""
    rows, columns = -(-count // columns), min(count, columns)
    image = Image.new("RGB", (columns * cell, rows * cell), BACKGROUND)
    faces, names = [], []
    for place, name in enumerate(itertools.islice(itertools.cycle(cast().named), count)):
        x, y = place % columns * cell, place // columns * cell
        pixels, face = _alone(name, cell)
        image.paste(Image.fromarray(pixels), (x, y))
        box = Box(face.box.x1 + x, face.box.y1 + y, face.box.x2 + x, face.box.y2 + y)
        faces.append(replace(face, box=box))
        names.append(name)
    return Scene(image, tuple(faces), tuple(names))


@cache
def _alone(name: str, side: int) -> tuple[Pixels, SceneFace]:
    """A character alone in a square picture."""
    background = np.full((side, side, 3), BACKGROUND, np.uint8)
    drawn = group_scene(background, [cast().named[name]], np.random.default_rng(1))
    return drawn.pixels, drawn.faces[0]


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The picture as a file of that format."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def boxes(result: RecognitionResult) -> np.ndarray:
    """FP64 [F,4], in the order of their left edges."""
    corners = [(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in result.faces]
    return np.array(sorted(corners)).reshape(-1, 4)


def labels(result: RecognitionResult) -> list[str]:
    """Labels in the order of the faces' left edges."""
    return [face.label for face in sorted(result.faces, key=lambda face: face.box.x1)]


def _overlap(face: Face, true: SceneFace) -> float:
    """Intersection over union."""
    mine, other = face.box, true.box
    width = min(mine.x2, other.x2) - max(mine.x1, other.x1)
    height = min(mine.y2, other.y2) - max(mine.y1, other.y1)
    common = max(width, 0) * max(height, 0)
    areas = (mine.x2 - mine.x1) * (mine.y2 - mine.y1) + (other.x2 - other.x1) * (other.y2 - other.y1)
    return common / (areas - common)
