"""Reading the datasets that figures are made on, and refusing those that would give wrong ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from evaluation_sets import DEMO

from toonface_contract.errors import ConfigError, InvalidImage, InvalidRequest
from toonface_training.evaluation.datasets import in_turn, read_pairs, read_picture, read_scenes, style_of
from toonface_training.evaluation.embedded import embed_files
from toonface_training.evaluation.subjects import Pixels


def _scenes(folder: Path, **changes: object) -> Path:
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "width": 100, "height": 50}],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 1, "bbox": [80, 10, 40, 20]}],
        "categories": [{"id": 1, "name": "face"}],
        **changes,
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "instance_val.json").write_text(json.dumps(content))
    return folder


def test_boxes_become_corners_within_the_picture(tmp_path: Path) -> None:
    (scene,) = read_scenes(_scenes(tmp_path), "val")
    assert scene.path == tmp_path / "images" / "a.jpg"
    assert scene.truth.boxes.tolist() == [[80, 10, 100, 30]]
    assert scene.truth.ignored.tolist() == [False]
    assert scene.labels == (None,)


def test_crowds_and_faces_outside_the_picture_do_not_count(tmp_path: Path) -> None:
    annotations = [
        {"image_id": 3, "bbox": [10, 10, 20, 20], "iscrowd": 1, "character": "micah-1"},
        {"image_id": 3, "bbox": [200, 10, 20, 20]},
        {"image_id": 3, "bbox": [10, 10, 20, 0.5]},
        {"image_id": 3, "bbox": [10, 10, 20, 20]},
    ]
    (scene,) = read_scenes(_scenes(tmp_path, annotations=annotations), "val")
    assert scene.truth.ignored.tolist() == [True, True, True, False]
    assert scene.labels[0] == "micah-1"


def test_persons_are_no_faces(tmp_path: Path) -> None:
    annotations = [{"image_id": 3, "category_id": each, "bbox": [10 * each, 10, 5, 5]} for each in (1, 2, 2)]
    for categories, faces in (({1: "Face", 2: "person"}, 1), ({1: "person", 2: "face"}, 2), ({1: "girl", 2: "boy"}, 3)):
        named = [{"id": number, "name": name} for number, name in categories.items()]
        (scene,) = read_scenes(_scenes(tmp_path, annotations=annotations, categories=named), "val")
        assert len(scene.truth.boxes) == faces


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    _scenes(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", refuse)  # whoever runs the tests may read everything
    with pytest.raises(ConfigError, match=r"cannot read .*instance_val\.json: Permission denied"):
        read_scenes(tmp_path, "val")


def test_an_error_names_the_picture_whose_turn_it_is() -> None:
    def answers(error: InvalidImage) -> Iterator[int]:
        yield 1
        raise error

    paths = [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]
    with pytest.raises(InvalidImage, match=r"^b\.jpg: it has 9 pixels too many$") as raised:
        list(in_turn(answers(InvalidImage("it has 9 pixels too many", code="image_too_large")), paths))
    assert raised.value.code == "image_too_large"
    # Pictures are read ahead of their turn.
    with pytest.raises(InvalidImage, match=r"^c\.jpg: no known format$"):
        list(in_turn(answers(InvalidImage("c.jpg: no known format")), paths))


def test_a_missing_split_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"instance_unseen.json is missing; .* has the splits val"):
        read_scenes(_scenes(tmp_path), "unseen")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 3, "bbox": [1, 2, 3]}]}, "annotations.0.bbox"),
        ({"annotations": [{"image_id": 4, "bbox": [1, 2, 3, 4]}]}, "image_id 4"),
        ({"images": []}, "lists no images"),
        ({"images": [], "annotations": []}, "lists no images"),
        ({"images": [{"id": 3, "file_name": "a.jpg"}]}, "images.0.width"),
        ({"images": [{"id": 3, "file_name": "a.jpg", "width": 0, "height": 4}]}, "images.0.width"),
        ({"images": [{"id": 3, "file_name": f"{name}.jpg", "width": 9, "height": 4} for name in "ab"]}, "3 is there"),
        ({"annotations": [{"image_id": 3, "bbox": [9, 2, -3, 4]}]}, "annotations.0.bbox.2"),
        ({"annotations": [{"image_id": 3, "bbox": [float("nan"), 2, 3, 4]}]}, "annotations.0.bbox.0"),
        ({"annotations": [{"image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4]}]}, "0.category_id 2 is no id"),
        (
            {
                "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "person"}],
                "annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4]}],
            },
            "0.category_id None is no id",
        ),
    ],
)
def test_a_file_that_is_not_coco_is_refused_by_place(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_scenes(_scenes(tmp_path, **changes), "val")


def test_pairs_are_relative_to_their_list(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg 1\n\nc/a.jpg b.jpg 0\n")
    one, two = read_pairs(tmp_path / "pairs.txt")
    assert (one.left, one.same) == (tmp_path / "a.jpg", True)
    assert (two.left, two.same) == (tmp_path / "c" / "a.jpg", False)


@pytest.mark.parametrize("line", ["a.jpg b.jpg", "a.jpg b.jpg 2", "a.jpg b c.jpg 1"])
def test_a_malformed_pair_is_refused_by_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "pairs.txt").write_text(f"a.jpg b.jpg 1\n{line}\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_pairs(tmp_path / "pairs.txt")


def test_no_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("\n")
    with pytest.raises(ConfigError, match="has no lines"):
        read_pairs(tmp_path / "pairs.txt")
    with pytest.raises(ConfigError, match="cannot read the list of pairs"):
        read_pairs(tmp_path / "none.txt")


def test_a_bad_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(InvalidImage, match=r"bad\.jpg.*no known format") as raised:
        read_picture(tmp_path / "bad.jpg")
    assert raised.value.code == "image_format_unsupported"
    with pytest.raises(InvalidImage, match=r"cannot read the picture .*none\.jpg"):
        read_picture(tmp_path / "none.jpg")


def test_styles_are_read_from_labels() -> None:
    assert [style_of(label) for label in ("big-ears-10000123", "micah-1", "Zo\u00eb", "Unknown", "a-b")] == [
        "big-ears",
        "micah",
        None,
        None,
        None,
    ]


class _Broken:
    """An embedder that answers with NaN for the second picture."""

    name = "broken"

    def embed(self, faces: Iterable[Pixels]) -> Iterator[np.ndarray]:
        for number, _ in enumerate(faces):
            yield np.full(4, np.nan if number == 1 else 0.5, np.float32)


def test_an_embedding_that_is_no_number_is_refused_by_its_picture(tmp_path: Path) -> None:
    for name in "abc":
        shutil.copy(DEMO / "gallery" / "01-1.jpg", tmp_path / f"{name}.jpg")
    with pytest.raises(InvalidRequest, match=r"b\.jpg: .* NaN or infinite") as raised:
        embed_files(_Broken(), [tmp_path / f"{name}.jpg" for name in "abc"])
    assert raised.value.code == "invalid_embedding"
