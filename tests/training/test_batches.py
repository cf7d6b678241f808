"""Batches of pictures: which, in what order, and always the same."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toonface_contract.errors import ConfigError
from toonface_training.batches import DetectionBatch, FeatureBatch
from toonface_training.batches.datasets import FaceBatches, SceneBatches
from toonface_training.batches.files import read_faces, read_scenes
from toonface_training.batches.order import ALONE, Order, Share
from toonface_training.batches.plain import plain_face, plain_scene
from toonface_training.batches.restyled import Restyled
from toonface_training.fit.reading import read_settings
from toonface_training.fit.task import make_task


def write_picture(path: Path, width: int, height: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def coco(folder: Path, **changes: Any) -> Path:
    """A detection set of three pictures of 40 x 20: two faces, none, and one that hangs out of the picture."""
    content: dict[str, Any] = {
        "categories": [{"id": 7, "name": "face"}],
        "images": [{"id": 5 + n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in range(3)],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1, 2, 10, 8]},
            {"id": 2, "image_id": 5, "category_id": 7, "bbox": [20, 4, 10, 8]},
            {"id": 3, "image_id": 7, "category_id": 7, "bbox": [30, -5, 20, 15]},
            {"id": 4, "image_id": 7, "category_id": 7, "bbox": [50, 5, 5, 5]},
            {"id": 5, "image_id": 7, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }
    for n in range(3):
        write_picture(folder / "images" / f"{n}.png", 40, 20, n)
    path = folder / "annotations" / "instance_train.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return folder


def faces(folder: Path, lines: str = "images/a.png 0\nimages/b c.png 1\n\nimages/a.png 2\n") -> Path:
    write_picture(folder / "train" / "images" / "a.png", 30, 40, 1)
    write_picture(folder / "train" / "images" / "b c.png", 12, 9, 2)
    (folder / "train" / "label.txt").write_text(lines)
    return folder


def equal(one: DetectionBatch, other: DetectionBatch) -> bool:
    return all(
        np.array_equal(left, right)
        for left, right in (
            (one.images, other.images),
            *zip(one.boxes, other.boxes, strict=True),
            *zip(one.classes, other.classes, strict=True),
        )
    )


def test_an_epoch_holds_every_sample_once_and_the_next_another_order() -> None:
    order = Order(samples=23, batch_size=5, seed=1)
    epochs = [np.concatenate([order.positions(epoch, number) for number in range(len(order))]) for epoch in (0, 1)]
    assert len(order) == 4
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], Order(samples=23, batch_size=5, seed=2).positions(0, 0))


def test_processes_share_the_batch_of_one() -> None:
    whole = Order(samples=40, batch_size=6, seed=3)
    parts = [Order(samples=40, batch_size=3, seed=3, share=Share(rank, 2)) for rank in (0, 1)]
    for number in range(len(whole)):
        assert np.array_equal(whole.positions(2, number), np.concatenate([part.positions(2, number) for part in parts]))
    assert len(parts[0]) == len(whole)


def test_too_few_samples_for_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 8 in each of 2 processes, but there are only 15 samples"):
        Order(samples=15, batch_size=8, seed=0, share=Share(0, 2))


def test_a_batch_of_scenes_is_a_function_of_its_place(tmp_path: Path) -> None:
    scenes, names = read_scenes(coco(tmp_path))
    batches = SceneBatches(scenes, Order(len(scenes), 3, seed=4), (32, 64), plain_scene)
    assert names == ["face"]
    again = pickle.loads(pickle.dumps(batches))  # noqa: S301  (our own)
    seen = [batches.batch(epoch, 0) for epoch in range(8)]
    assert {batch.images.shape for batch in seen} == {(3, 32, 32, 3), (3, 64, 64, 3)}
    assert all(equal(batch, again.batch(epoch, 0)) for epoch, batch in reversed(list(enumerate(seen))))
    for batch in seen:
        assert sorted(len(boxes) for boxes in batch.boxes) == [0, 1, 2]
        for boxes, classes in zip(batch.boxes, batch.classes, strict=True):
            assert (boxes >= 0).all() and (boxes <= batch.images.shape[1]).all()
            assert classes.tolist() == [0] * len(boxes)


def test_boxes_follow_a_mirrored_and_stretched_picture() -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[4:12, 20:30] = 255
    for seed in range(6):
        stretched, boxes, rows = plain_scene(
            picture, np.array([[20, 4, 30, 12]], np.float32), 80, np.random.default_rng(seed)
        )
        x1, y1, x2, y2 = boxes[0].astype(int)
        assert rows.tolist() == [0]
        assert stretched[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].min() > 250
        assert stretched[:, : x1 - 3].max(initial=0) < 5 and stretched[:, x2 + 3 :].max(initial=0) < 5


def test_a_batch_of_faces_has_their_labels(tmp_path: Path) -> None:
    listed = read_faces(faces(tmp_path))
    batch = FaceBatches(listed, Order(3, 3, seed=0), 112, Restyled(0, 0), plain_face).batch(0, 0)
    assert batch.images.shape == (3, 112, 112, 3)
    assert sorted(batch.labels.tolist()) == [0, 1, 2]


def test_a_share_of_the_faces_is_redrawn_if_the_settings_say_so(tmp_path: Path) -> None:
    faces(tmp_path)

    def batch(share: int) -> FeatureBatch:
        overrides = (f"Global.dataset_dir={tmp_path}", "Train.batch_size=3", f"Train.restyled={share}")
        made = make_task(read_settings("MobileFaceNet", overrides), "cpu", ALONE).batches.batch(0, 0)
        assert isinstance(made, FeatureBatch)
        return made

    plain, again, redrawn = batch(0), batch(0), batch(1)
    np.testing.assert_array_equal(plain.images, again.images)
    assert plain.labels.tolist() == redrawn.labels.tolist()
    assert all(not np.array_equal(one, other) for one, other in zip(plain.images, redrawn.images, strict=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annotations": [{"image_id": 9, "category_id": 7, "bbox": [0, 0, 1, 1]}]}, r"annotations\.0\.image_id is 9"),
        ({"annotations": [{"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1]}]}, r"0\.category_id is 1"),
        ({"annotations": []}, "no face to learn from"),
        ({"images": "none"}, "images: Input should be a valid"),
    ],
)
def test_a_wrong_annotation_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"instance_train\.json.*{said}"):
        read_scenes(coco(tmp_path, **changes))


@pytest.mark.parametrize("lines", ["images/a.png\n", "images/a.png x\n", "images/a.png -1\n", "7\n"])
def test_a_wrong_line_of_labels_is_named(lines: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"label\.txt, line 2: .* is not `path label`"):
        read_faces(faces(tmp_path, "images/a.png 0\n" + lines))


def test_lists_in_another_encoding_are_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    latin = "images/é.png 0\n".encode("latin-1")
    (tmp_path / "train" / "label.txt").write_bytes(latin)
    with pytest.raises(ConfigError, match=r"label\.txt cannot be read as text in UTF-8"):
        read_faces(tmp_path)
    (tmp_path / "train" / "label.txt").write_text("images/a.png 0\n")
    (tmp_path / "train" / "boxes.txt").write_bytes(latin)
    with pytest.raises(ConfigError, match=r"boxes\.txt cannot be read as text in UTF-8"):
        read_faces(tmp_path)


def test_missing_and_empty_lists_and_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"instance_train\.json is missing"):
        read_scenes(tmp_path)
    with pytest.raises(ConfigError, match=r"label\.txt is missing"):
        read_faces(tmp_path)
    with pytest.raises(ConfigError, match="lists no pictures"):
        read_faces(faces(tmp_path, "\n"))
    (tmp_path / "train" / "images" / "a.png").write_bytes(b"no picture")
    listed = read_faces(faces(tmp_path / "other", "images/none.png 0\n"))
    with pytest.raises(ConfigError, match=r"none\.png cannot be read: No such file"):
        FaceBatches(listed, Order(1, 1, seed=0), 112, Restyled(0, 0), plain_face).batch(0, 0)
