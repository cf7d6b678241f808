"""Augmentation of drawings: boxes stay on what they are around."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from toonface_contract.errors import ConfigError
from toonface_training.batches.datasets import FaceBatches
from toonface_training.batches.drawn import CropOfFace, WindowOfScene
from toonface_training.batches.files import read_faces
from toonface_training.batches.order import Order
from toonface_training.batches.restyled import Restyled

RED = (230, 20, 30)
# Augmentation that leaves the crop as it is, but for mirroring it.
STILL = {"shift": (0.0, 0.0), "turned": 0.0, "light": 0.0, "cut": 0.0, "cover": 0.0, "coarse": 0.0}


def scene(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    picture = np.full((height, width, 3), 120, np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = RED
    return picture


def reddish(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[..., 0].astype(int) - pixels[..., 1] > 90)


@pytest.mark.parametrize("size", [192, 320])
def test_boxes_are_around_their_faces_in_every_window(size: int) -> None:
    box = (150, 60, 250, 180)
    picture = scene(400, 300, box)
    seen = 0
    for seed in range(40):
        window, boxes, rows = WindowOfScene()(picture, np.array([box], np.float32), size, np.random.default_rng(seed))
        assert window.shape == (size, size, 3) and window.dtype == np.uint8
        assert len(boxes) == len(rows)
        if not len(boxes):
            continue
        seen += 1
        ys, xs = np.nonzero(reddish(window))
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert np.abs(found - boxes[0]).max() <= 1.0
        assert boxes.dtype == np.float32 and boxes.min() >= 0 and boxes.max() <= size
    assert seen > 15


def test_a_face_that_is_largely_outside_of_the_window_is_left_out_and_the_others_keep_their_rows() -> None:
    boxes = np.array([[0, 100, 60, 160], [340, 100, 400, 160]], np.float32)
    picture = np.zeros((300, 400, 3), np.uint8)
    rows = [
        WindowOfScene(scale=(1.4, 1.6))(picture, boxes, 400, np.random.default_rng(seed))[2].tolist()
        for seed in range(60)
    ]
    assert [0] in rows and [1] in rows
    assert [0, 1] not in rows


def test_a_scene_without_faces_gives_a_window_without_boxes() -> None:
    window, boxes, rows = WindowOfScene()(
        scene(320, 240, (0, 0, 0, 0)), np.zeros((0, 4), np.float32), 96, np.random.default_rng(0)
    )
    assert window.shape == (96, 96, 3) and boxes.shape == (0, 4) and rows.shape == (0,)


def test_a_face_fills_its_crop_but_for_the_error_of_the_box() -> None:
    picture = scene(200, 200, (60, 50, 140, 170))
    box = np.array([60, 50, 140, 170], np.float32)
    loose = CropOfFace(cover=0, shift=(0.03, 0.03), turned=0, cut=0)
    shares = [reddish(loose(picture, box, 112, np.random.default_rng(seed))).mean() for seed in range(20)]
    assert min(shares) > 0.7 and max(shares) <= 1
    assert len(set(shares)) > 10
    exact = CropOfFace(**STILL)(picture, box, 112, np.random.default_rng(0))
    assert reddish(exact).all()


def test_a_turned_face_is_whole_and_fills_its_crop() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    cv2.ellipse(picture, (100, 100), (60, 30), 0, 0, 360, (255, 255, 255), -1)
    box = np.array([40, 70, 160, 130], np.float32)
    augment, areas = CropOfFace(**{**STILL, "turned": 1.0}), []
    for seed in range(10):
        crop = augment(picture, box, 112, np.random.default_rng(seed))[..., 0] > 127
        rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
        assert max(rows[0], columns[0]) <= 2 and min(rows[-1], columns[-1]) >= 109
        areas.append(crop.mean())
    # Stretched to a square an upright ellipse is a disc; a turned one is longer along a diagonal.
    upright = CropOfFace(**STILL)(picture, box, 112, np.random.default_rng(0))[..., 0] > 127
    assert abs(upright.mean() - np.pi / 4) < 0.02 and min(areas) < upright.mean() - 0.05


def test_a_cut_box_lacks_a_part_of_the_face_on_one_side() -> None:
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(120), np.arange(120)[:, None]
    box = np.array([10, 10, 110, 110], np.float32)
    augment = CropOfFace(**{**STILL, "cut": 1.0})
    lost = []
    for seed in range(30):
        crop = augment(picture, box, 100, np.random.default_rng(seed)).astype(int)
        missing = [
            value for channel in (0, 1) for value in (crop[..., channel].min() - 10, 109 - crop[..., channel].max())
        ]
        assert sum(value > 2 for value in missing) <= 1
        lost.append(max(missing))
    assert 25 < max(lost) <= 46


def test_what_covers_a_face_is_seldom_much_of_it() -> None:
    picture = np.full((120, 120, 3), 100, np.uint8)
    augment = CropOfFace(**{**STILL, "cover": 1.0})
    covered = [
        (augment(picture, np.array([10, 10, 110, 110], np.float32), 64, np.random.default_rng(seed)) != 100)
        .any(axis=2)
        .mean()
        for seed in range(40)
    ]
    assert 0 < min(covered) and 0.1 < max(covered) <= 0.25


def test_a_face_seen_from_afar_fills_its_crop_with_less_detail() -> None:
    box = np.array([20, 20, 120, 120], np.float32)
    picture = np.random.default_rng(0).integers(0, 256, (140, 140, 3), np.uint8)
    near = CropOfFace(**STILL)(picture, box, 112, np.random.default_rng(1))
    far = CropOfFace(**{**STILL, "coarse": 1.0, "coarse_sides": (16, 17)})(picture, box, 112, np.random.default_rng(1))
    assert far.shape == near.shape == (112, 112, 3)
    assert far.std() < near.std() / 2 and abs(far.mean() - near.mean()) < 3


def test_half_of_the_crops_are_mirrored() -> None:
    picture = scene(100, 100, (20, 20, 50, 80))
    box = np.array([20, 20, 80, 80], np.float32)
    left = [
        reddish(CropOfFace(cover=0, cut=0)(picture, box, 64, np.random.default_rng(seed)))[:, :32].mean() > 0.5
        for seed in range(40)
    ]
    assert 10 < sum(left) < 30


def a_face(folder: Path, boxes: str | None) -> Path:
    for name, colour in (("images", "blue"), ("context", "red")):
        (folder / "train" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), colour).save(folder / "train" / name / "a.png")
    (folder / "train" / "label.txt").write_text("images/a.png 0\n")
    if boxes is not None:
        (folder / "train" / "boxes.txt").write_text(boxes)
    return folder


def test_faces_are_cut_from_their_surroundings_where_these_are_there(tmp_path: Path) -> None:
    (plain,) = read_faces(a_face(tmp_path / "plain", None))
    assert plain.box is None and plain.path.parent.name == "images"
    faces = read_faces(a_face(tmp_path / "boxed", "images/a.png 5 6 30.5 31\n"))
    assert faces[0].box == (5, 6, 30.5, 31) and faces[0].path.parent.name == "context"
    batch = FaceBatches(faces, Order(1, 1, seed=0), 112, Restyled(0, 0), CropOfFace(**STILL)).batch(0, 0)
    assert reddish(batch.images[0]).all()


@pytest.mark.parametrize("line", ["images/a.png 1 2 3", "images/a.png 1 2 3 x", "nothing"])
def test_a_wrong_line_of_boxes_is_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"boxes\.txt, line 1: .* is not `path x1 y1 x2 y2`"):
        read_faces(a_face(tmp_path, line + "\n"))
