"""One drawing of a character, with what is known of the face in it, and pictures of it at any size.

Drawing is most of the work of a data set. So a drawing is used several times, scaled, turned and lit anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toonface_training.cartoon.drawing import Sprite, draw
from toonface_training.cartoon.face_box import Box, face_box
from toonface_training.cartoon.identity import Identity, vary
from toonface_training.cartoon.landmarks import Points, landmarks, moved_points
from toonface_training.cartoon.placing import Pose, moved_box, shrunk


@dataclass(eq=False)
class Character:
    """A drawing of a character.

    Attributes:
        sprite: UINT8 [S,S,4], RGBA.
        face: the box of the face, in pixels of the sprite.
        points: FP64 [5,2], the landmarks, in pixels of the sprite.
    """

    sprite: Sprite
    face: Box
    points: Points

    @property
    def face_side(self) -> float:
        """The longer side of the face, in pixels of the sprite."""
        return max(self.face.width, self.face.height)

    @cached_property
    def half(self) -> Character:
        """The drawing at half its size, averaged over areas, so that warping it to a small size makes no jags."""
        sprite = shrunk(self.sprite, 0.5)
        factor = len(sprite) / len(self.sprite)
        return Character(sprite, self.face.scaled(factor), self.points * factor)

    def for_side(self, face_side: float) -> Character:
        """The drawing, or a half of a half of it: the smallest whose face is not smaller than `face_side`."""
        return self if self.face_side < 2 * face_side else self.half.for_side(face_side)

    def placed(self, pose: Pose) -> tuple[NDArray[np.float64], Box, Points]:
        """The pose's matrix, FP64 [2,3], and the face's box and points in the picture."""
        matrix = pose.matrix(self.face)
        return matrix, moved_box(self.face, matrix), moved_points(self.points, matrix, mirrored=pose.mirrored)


def draw_character(identity: Identity, face_side: float, lots: np.random.Generator) -> Character:
    """Draw a character, with an expression and clothes by lot, so large that its face's longer side is `face_side`."""
    box = face_box(identity.style.name, identity.head)
    side = round(face_side / max(box.width, box.height))
    options = vary(identity, lots)
    sprite = draw(identity.style.name, options, side)
    return Character(sprite, box.scaled(side), landmarks(identity.style.name, options) * side)


def headless(character: Character) -> Sprite:
    """The drawing without the head: the body below the face; next to nothing for a style that draws heads only."""
    body = character.sprite.copy()
    # A little further down, so that no chin is left.
    body[: round(character.face.y2 + 0.1 * character.face.height)] = 0
    return body
