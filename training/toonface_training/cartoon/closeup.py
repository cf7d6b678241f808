"""Pictures of one face: the crop that a detector's box gives, and what is around it, a little or all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toonface_training.cartoon import backgrounds
from toonface_training.cartoon.camera import photograph
from toonface_training.cartoon.crowd import any_size, any_stretch
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.landmarks import Points
from toonface_training.cartoon.placing import Pixels, Pose, paste, visible_part
from toonface_training.cartoon.sprites import Character

# Around the box, to each side, in parts of its sides: room for a trainer that moves the box as detectors do.
MARGIN = 0.3
# Longer side of the upright face, in pixels: what reaches an embedder of 112 pixels was a face of about this size.
_FACE_SIDE = (44.0, 140.0)
# Something in front of a face leaves this part of its box in view.
_LEAST_VISIBLE = 0.75
# From the edge of a whole picture to the face at least, in parts of the face's side.
_GAP = 0.05


@dataclass(frozen=True, eq=False)
class Closeup:
    """A face and its surroundings.

    Attributes:
        context: UINT8 [H,W,3] RGB, the box and `MARGIN` around it, or a whole picture.
        box: of the face, in pixels of the context.
        points: FP64 [5,2], the landmarks, in pixels of the context.
    """

    context: Pixels
    box: Box
    points: Points

    def crop(self, box: Box | None = None) -> Pixels:
        """The plain crop, as PaddleX cuts it: whole pixels, rounded towards zero, no margin."""
        cut = box or self.box
        height, width = self.context.shape[:2]
        left, top = max(int(cut.x1), 0), max(int(cut.y1), 0)
        return self.context[top : min(int(cut.y2), height), left : min(int(cut.x2), width)]

    def shifted_box(self, most: float, lots: np.random.Generator) -> Box:
        """The box with each edge moved by up to `most` of its side, as a detector may give it."""
        left, top, right, bottom = lots.uniform(-most, most, 4)
        box = self.box
        return Box(
            box.x1 + left * box.width,
            box.y1 + top * box.height,
            box.x2 + right * box.width,
            box.y2 + bottom * box.height,
        )


def closeup(
    character: Character,
    angle: float,
    lots: np.random.Generator,
    severity: float = 1.0,
    places: np.random.Generator | None = None,
) -> Closeup:
    """A picture of a drawn character's face, with `MARGIN` around it; or of the whole figure, somewhere in a picture.

    Both kinds draw the same from `lots`: a copy of them gives the whole picture that a closeup could be cut from, but
    that the background is fitted into the larger picture, and noise and compression may differ.

    Args:
        character: drawn with a face of at least 140 pixels.
        angle: clockwise turn in degrees.
        lots: decides size, stretch, mirroring, background, light and what is in front.
        severity: of what the camera does, as for `photograph`; and how often something is in front.
        places: decides how large a whole picture is and where the figure is in it: within the picture where it is not
            too large, and its face, with a little around it, in any case. None for the face and its margin alone.
    """
    side = float(np.exp(lots.uniform(*np.log(_FACE_SIDE))))
    small = character.for_side(side)
    scale = side / small.face_side
    mirrored, stretch = bool(lots.random() < 0.5), any_stretch(lots)
    pose = Pose(0, 0, side, angle, mirrored, scale, stretch)
    matrix, at_origin, _ = small.placed(pose)
    across, down = (round(edge * (1 + 2 * MARGIN)) for edge in (at_origin.width, at_origin.height))
    if places is None:
        width, height, x, y = across, down, across / 2, down / 2
    else:
        width, height = any_size(places)
        corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * small.sprite.shape[1::-1]
        corners = corners @ matrix[:, :2].T + matrix[:, 2]
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        x = _anywhere(width, left, right, at_origin.width, places)
        y = _anywhere(height, top, bottom, at_origin.height, places)
    pixels = backgrounds.backdrop(width, height, lots)
    matrix, box, points = small.placed(replace(pose, x=x, y=y))
    paste(pixels, small.sprite, matrix)
    if lots.random() < 0.15 * severity:
        around = Box(x - across / 2, y - down / 2, x + across / 2, y + down / 2)
        pixels = _partly_hidden(pixels, box, around, lots)
    return Closeup(photograph(pixels, lots, severity), box, points)


def _anywhere(side: int, first: float, last: float, face: float, places: np.random.Generator) -> float:
    """Where the middle of a face is along one side of a picture, by lot.

    Args:
        side: of the picture.
        first: where the figure begins, seen from the middle of its face, 0 or less.
        last: where it ends.
        face: how long the face is; less than `side` by a tenth.
        places: decides.
    """
    least = (0.5 + _GAP) * face
    # A figure that is longer than the side reaches over both ends.
    low, high = sorted((-first, side - last))
    return float(np.clip(places.uniform(low, high), least, side - least))


def _partly_hidden(pixels: Pixels, box: Box, around: Box, lots: np.random.Generator) -> Pixels:
    """The picture with an object or letters in front, its middle in `around`, unless it hides too much of the face."""
    sprite = backgrounds.lettering(lots) if lots.random() < 0.3 else backgrounds.distractor(lots)
    size = lots.uniform(0.25, 0.8) * box.width
    x, y = lots.uniform((around.x1, around.y1), (around.x2, around.y2))
    pose = Pose(x, y, size, lots.uniform(-40, 40), scale=size / max(sprite.shape[:2]))
    covered, owner = pixels.copy(), np.zeros(pixels.shape[:2], np.int32)
    rows, columns, coverage = paste(covered, sprite, pose.matrix(Box(0, 0, sprite.shape[1], sprite.shape[0])))
    owner[rows, columns][coverage > 127] = 1
    return covered if visible_part(owner, box, 0) >= _LEAST_VISIBLE else pixels
