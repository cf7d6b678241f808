import numpy as np
import pytest

from toonface_training.cartoon.drawing import draw
from toonface_training.cartoon.face_box import face_box
from toonface_training.cartoon.identity import draw_identity, vary


def test_drawing_is_the_same_for_the_same_options_and_another_for_others() -> None:
    identity = draw_identity("adventurer", 900_000)
    options = vary(identity, np.random.default_rng(5))
    first = draw("adventurer", options, 96)
    assert first.shape == (96, 96, 4)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw("adventurer", options, 96))
    assert not np.array_equal(first, draw("adventurer", vary(identity, np.random.default_rng(6)), 96))


# Read off a drawing of each style with a ruler: ear to ear, forehead to below the mouth, to a twentieth of the canvas.
@pytest.mark.parametrize(
    ("style", "head", "ruler"),
    [
        ("adventurer", "default", (0.18, 0.26, 0.86, 0.83)),
        ("notionists", "variant01", (0.29, 0.25, 0.64, 0.61)),
        ("avataaars", "", (0.24, 0.17, 0.76, 0.65)),
    ],
)
def test_face_box_is_where_the_face_is(style: str, head: str, ruler: tuple[float, ...]) -> None:
    box = face_box(style, head)
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(ruler, abs=0.05)
