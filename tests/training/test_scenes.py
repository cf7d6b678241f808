import numpy as np
import pytest

from toonface_training.cartoon.backgrounds import gradient
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.identity import Identity, draw_identity
from toonface_training.cartoon.placing import Pose
from toonface_training.cartoon.scenes import Scene, group_scene, portrait

# Styles whose one measured box needs no rendering, or little: the tests stay quick.
CAST = [draw_identity(style, 900_000 + seed) for seed in range(3) for style in ("dylan", "pixel-art", "adventurer")]


def scene_of(cast: list[Identity], seed: int) -> Scene:
    background = gradient(640, 480, np.random.default_rng(seed))
    return group_scene(background, cast, np.random.default_rng(seed))


def test_a_scene_has_one_face_for_each_character_inside_the_picture_and_in_view() -> None:
    scene = scene_of(CAST, 1)
    assert scene.pixels.shape == (480, 640, 3)
    assert [face.identity for face in scene.faces] == CAST
    for face in scene.faces:
        assert 0.85 <= face.visible <= 1
        assert 0 < face.box.centre[0] < 640
        assert 0 < face.box.centre[1] < 480


def test_faces_do_not_overlap() -> None:
    boxes = [face.box for face in scene_of(CAST, 2).faces]
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            width = min(one.x2, other.x2) - max(one.x1, other.x1)
            height = min(one.y2, other.y2) - max(one.y1, other.y1)
            assert max(width, 0) * max(height, 0) < 0.1 * min(one.width * one.height, other.width * other.height)


def test_the_same_lots_give_the_same_scene_and_others_another() -> None:
    assert np.array_equal(scene_of(CAST[:3], 3).pixels, scene_of(CAST[:3], 3).pixels)
    assert scene_of(CAST[:3], 3).faces != scene_of(CAST[:3], 4).faces


def test_the_true_box_is_where_the_character_was_drawn() -> None:
    background = np.full((300, 400, 3), 128, np.uint8)
    (face,) = (scene := group_scene(background, CAST[1:2], np.random.default_rng(7))).faces
    spread = scene.pixels.reshape(-1, 3).astype(int)
    drawn = (np.abs(spread - spread[0]).sum(axis=1) > 30).reshape(300, 400)
    x1, y1, x2, y2 = (round(value) for value in (face.box.x1, face.box.y1, face.box.x2, face.box.y2))
    quarter_x, quarter_y = (x2 - x1) // 4, (y2 - y1) // 4
    assert drawn[y1 + quarter_y : y2 - quarter_y, x1 + quarter_x : x2 - quarter_x].mean() > 0.95
    assert drawn[y1:y2, x1:x2].sum() > 0.5 * drawn.sum()


def test_a_turned_and_mirrored_pose_keeps_the_centre_and_turns_clockwise() -> None:
    face = Box(10, 20, 50, 80)
    upright, turned = Pose(200, 100, 60), Pose(200, 100, 60, angle=90)
    mirrored = Pose(200, 100, 60, mirrored=True)
    above = np.array([*face.centre, 1]) - [0, 30, 0]
    left = np.array([*face.centre, 1]) - [20, 0, 0]
    assert upright.matrix(face) @ above == pytest.approx([200, 70])
    assert turned.matrix(face) @ above == pytest.approx([230, 100])
    assert mirrored.matrix(face) @ left == pytest.approx([220, 100])


def test_a_picture_too_small_for_the_cast_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match="9 characters do not fit into 24 x 16 pixels"):
        group_scene(np.zeros((16, 24, 3), np.uint8), CAST, np.random.default_rng(0), least_visible=1.1)


def test_a_portrait_is_cut_to_the_face() -> None:
    pixels = portrait(CAST[0], 120, (255, 255, 255), np.random.default_rng(0))
    assert pixels.dtype == np.uint8
    assert max(pixels.shape[:2]) == pytest.approx(120, abs=1)
    assert pixels.std() > 10
