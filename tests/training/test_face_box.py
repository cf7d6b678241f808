import numpy as np
import pytest

from toonface_training.cartoon.drawing import draw
from toonface_training.cartoon.face_box import face_box
from toonface_training.cartoon.identity import draw_identity, vary
from toonface_training.cartoon.landmarks import landmarks, moved_points
from toonface_training.cartoon.measuring import heads, measured_box
from toonface_training.cartoon.styles import ALL_STYLES


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
        ("voxel-art", "", (0.21, 0.17, 0.79, 0.67)),
    ],
)
def test_face_box_is_where_the_face_is(style: str, head: str, ruler: tuple[float, ...]) -> None:
    box = face_box(style, head)
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(ruler, abs=0.05)


def test_the_table_has_every_shape_of_head() -> None:
    for style in ALL_STYLES:
        for head in heads(style):
            box = face_box(style, head)
            assert 0 <= box.x1 < box.x2 <= 1
            assert 0 <= box.y1 < box.y2 <= 1


# Of croodles, a long face, whose rule is its own.
@pytest.mark.parametrize(
    ("style", "head"), [("notionists", "variant01"), ("croodles", "variant03"), ("sprouts", "bowl")]
)
def test_the_table_is_what_is_measured(style: str, head: str) -> None:
    measured, kept = measured_box(style, head), face_box(style, head)
    assert (kept.x1, kept.y1, kept.x2, kept.y2) == pytest.approx(
        (measured.x1, measured.y1, measured.x2, measured.y2), abs=0.01
    )


@pytest.mark.parametrize("style", ALL_STYLES)
def test_landmarks_are_in_the_face_and_in_the_viewers_order(style: str) -> None:
    identity = draw_identity(style, 900_000)
    box = face_box(style, identity.head)
    for number in range(3):
        points = landmarks(style, vary(identity, np.random.default_rng(number)))
        left_eye, right_eye, nose, left_mouth, right_mouth = points
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] + 0.02
        assert nose[1] < max(left_mouth[1], right_mouth[1])
        for point in points:
            assert box.x1 - 0.06 < point[0] < box.x2 + 0.06
            assert box.y1 < point[1] < box.y2


def test_mirrored_points_stay_in_the_viewers_order() -> None:
    points = landmarks("avataaars", vary(draw_identity("avataaars", 1), np.random.default_rng(0)))
    mirrored = moved_points(points, np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), mirrored=True)
    assert mirrored[0] == pytest.approx([1 - points[1][0], points[1][1]])
    assert mirrored[3] == pytest.approx([1 - points[4][0], points[4][1]])
    assert mirrored[2] == pytest.approx([1 - points[2][0], points[2][1]])
