import copy

import cv2
import numpy as np
import pytest

from toonface_training.cartoon.closeup import MARGIN, Closeup, closeup
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.identity import draw_identity
from toonface_training.cartoon.sprites import Character, draw_character


@pytest.fixture(scope="module")
def dylan() -> Character:
    """Of a style whose one measured box needs no rendering."""
    return draw_character(draw_identity("dylan", 900_000), 144.0, np.random.default_rng(0))


def both(character: Character, seed: int, angle: float = 0.0) -> tuple[Closeup, Closeup]:
    """A face with its margin, and the same in a whole picture."""
    lots = np.random.default_rng(seed)
    again = copy.deepcopy(lots)
    return (
        closeup(character, angle, lots, severity=0.6),
        closeup(character, angle, again, severity=0.6, places=np.random.default_rng([seed, 1])),
    )


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_a_closeup_is_the_face_with_a_margin_and_a_whole_picture_has_the_same_face(
    dylan: Character, angle: float
) -> None:
    # Of some of these the middle of the face is behind something.
    for seed in range(80, 120):
        near, whole = both(dylan, seed, angle)
        for side, first, length in ((1, near.box.x1, near.box.width), (0, near.box.y1, near.box.height)):
            assert first / length == pytest.approx(MARGIN, abs=0.02)
            assert near.context.shape[side] / length == pytest.approx(1 + 2 * MARGIN, abs=0.02)
        assert (whole.box.width, whole.box.height) == pytest.approx((near.box.width, near.box.height))
        # The middle of the face, without what is behind it.
        width, height = 0.6 * near.box.width, 0.6 * near.box.height
        x, y = (near.box.centre - (width / 2, height / 2)).round()
        middle = Box(x, y, x + width, y + height)
        picture, part = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (whole.context, near.crop(middle)))
        _, alike, _, place = cv2.minMaxLoc(cv2.matchTemplate(picture, part, cv2.TM_CCOEFF_NORMED))
        assert alike > 0.8
        moved = whole.box.centre - near.box.centre
        assert place == pytest.approx((x + moved[0], y + moved[1]), abs=1.1)


def test_faces_of_whole_pictures_are_anywhere_and_of_any_size_and_never_cut(dylan: Character) -> None:
    places, shares = [], []
    for seed in range(60):
        whole = both(dylan, seed)[1]
        height, width = whole.context.shape[:2]
        assert 320 <= max(height, width) <= 480
        box = whole.box
        assert 0 < box.x1 < box.x2 < width
        assert 0 < box.y1 < box.y2 < height
        places.append(box.centre / (width, height))
        shares.append(box.height / height)
    assert (np.std(places, axis=0) > 0.08).all()
    assert min(shares) < 0.18
    assert max(shares) > 0.4


def test_a_figure_larger_than_its_picture_keeps_its_face_in_it(dylan: Character) -> None:
    # A drawing of which the face is a small part, in a corner.
    side = len(dylan.sprite)
    wide = np.zeros((4 * side, 4 * side, 4), np.uint8)
    wide[-side:, :side] = dylan.sprite
    down = np.array([0, 3 * side])
    face = dylan.face
    large = Character(wide, Box(face.x1, face.y1 + 3 * side, face.x2, face.y2 + 3 * side), dylan.points + down)
    for seed in range(40):
        whole = both(large, seed)[1]
        height, width = whole.context.shape[:2]
        gap = 0.049 * np.array([whole.box.width, whole.box.height])
        assert whole.box.x1 >= gap[0]
        assert whole.box.y1 >= gap[1]
        assert whole.box.x2 <= width - gap[0]
        assert whole.box.y2 <= height - gap[1]
