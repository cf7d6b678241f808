import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from toonface_client.cli import main
from toonface_contract.errors import ConfigError
from toonface_training.dataset.check import check_dataset
from toonface_training.dataset.coco_file import coco_text
from toonface_training.dataset.split import split_dataset

NAMES = {"train": [f"{number}.png" for number in range(8)], "val": ["8.png", "9.png"]}


@pytest.fixture
def detection(tmp_path: Path) -> Path:
    """Eight images and two, whose ids are the same in both files; face n is n pixels wide."""
    folder = tmp_path / "detection"
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    for split, names in NAMES.items():
        content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
        content["categories"] = [{"id": 1, "name": "face"}]
        for number, name in enumerate(names):
            Image.new("RGB", (40, 30)).save(folder / "images" / name)
            content["images"].append({"id": number, "file_name": name, "width": 40, "height": 30})
            box = [1, 1, int(Path(name).stem) + 1, 5]
            content["annotations"].append({"id": number, "image_id": number, "category_id": 1, "bbox": box, "mine": 7})
        (folder / f"annotations/instance_{split}.json").write_text(coco_text(content))
    return folder


@pytest.fixture
def feature(tmp_path: Path) -> Path:
    folder = tmp_path / "feature"
    lines = []
    for who in range(10):
        for number in range(4):
            path = folder / f"train/images/{who}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(path)
            lines.append(f"images/{who}_{number}.png {who}\n")
    (folder / "train/label.txt").write_text("".join(lines))
    (folder / "val").mkdir()
    (folder / "val/pair_label.txt").write_text("old\n")
    return folder


def read(folder: Path, split: str) -> dict[str, Any]:
    return json.loads((folder / f"annotations/instance_{split}.json").read_text())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.*"))


def test_images_of_both_files_are_divided_with_their_faces(detection: Path, tmp_path: Path) -> None:
    before = {split: (detection / f"annotations/instance_{split}.json").read_text() for split in NAMES}
    result = CliRunner().invoke(main, ["dataset", "split", str(detection), "--train", "70", "--val", "30"])
    assert result.exit_code == 0, result.output
    assert "7 to train on, 3 to validate with; kept instance_train.json.bak, instance_val.json.bak" in result.output
    parts = {split: read(detection, split) for split in NAMES}
    assert [len(part["images"]) for part in parts.values()] == [7, 3]
    assert sorted(image["file_name"] for part in parts.values() for image in part["images"]) == sorted(
        sum(NAMES.values(), [])
    )
    for part in parts.values():
        names = {image["id"]: image["file_name"] for image in part["images"]}
        for face in part["annotations"]:
            assert face["bbox"][2] == int(Path(names[face["image_id"]]).stem) + 1
            assert face["mine"] == 7
    for split, text in before.items():
        assert (detection / f"annotations/instance_{split}.json.bak").read_text() == text
    assert check_dataset(detection, tmp_path / "out").problems == ()


def test_the_seed_decides_and_nothing_that_was_kept_is_lost(detection: Path) -> None:
    split_dataset(detection, 50, 50, seed=1)
    first = read(detection, "train")
    split_dataset(detection, 50, 50, seed=2)
    assert read(detection, "train") != first
    kept = detection / "annotations"
    assert len(json.loads((kept / "instance_train.json.bak").read_text())["images"]) == 8
    assert json.loads((kept / "instance_train.json.bak2").read_text()) == first


def test_a_set_with_one_annotation_file_is_divided(detection: Path) -> None:
    (detection / "annotations/instance_val.json").unlink()
    done = split_dataset(detection, 75, 25)
    assert (done.train, done.val) == (6, 2)
    assert [path.name for path in done.kept] == ["instance_train.json.bak"]


def test_identities_are_divided_and_numbered_anew(feature: Path, tmp_path: Path) -> None:
    done = split_dataset(feature, 80, 20)
    assert (done.train, done.val) == (8, 2)
    labels = [line.split(" ") for line in (feature / "train/label.txt").read_text().splitlines()]
    assert Counter(label for _, label in labels) == {str(number): 4 for number in range(8)}
    by_label = {label: {Path(path).stem[0] for path, other in labels if other == label} for _, label in labels}
    assert all(len(people) == 1 for people in by_label.values())
    trained = {Path(path).stem[0] for path, _ in labels}
    pairs = [line.split(" ") for line in (feature / "val/pair_label.txt").read_text().splitlines()]
    assert Counter(same for *_, same in pairs) == {"0": 12, "1": 12}
    assert len({frozenset((left, right)) for left, right, _ in pairs}) == 24
    for left, right, same in pairs:
        people = {Path(left).stem[0], Path(right).stem[0]}
        assert people.isdisjoint(trained)
        assert (len(people) == 1) is (same == "1")
    assert (feature / "val/pair_label.txt.bak").read_text() == "old\n"
    assert len((feature / "train/label.txt.bak").read_text().splitlines()) == 40
    assert check_dataset(feature, tmp_path / "out").problems == ()


@pytest.mark.parametrize(("train", "val"), [(80, 30), (100, 0), (0, 100), (120, -20)])
def test_percentages_must_sum_to_a_hundred(detection: Path, train: int, val: int) -> None:
    before = sorted(path.name for path in (detection / "annotations").iterdir())
    result = CliRunner().invoke(main, ["dataset", "split", str(detection), "--train", str(train), "--val", str(val)])
    assert result.exit_code == 1
    assert f"train_percent {train} and val_percent {val}: both must be 1 or more, and sum to 100" in result.output
    assert sorted(path.name for path in (detection / "annotations").iterdir()) == before


def test_a_part_without_images_or_pairs_is_refused(detection: Path, feature: Path) -> None:
    with pytest.raises(ConfigError, match="99 percent of 10 images leaves one part empty"):
        split_dataset(detection, 99, 1)
    with pytest.raises(ConfigError, match="needs two identities"):
        split_dataset(feature, 90, 10)
    assert (feature / "val/pair_label.txt").read_text() == "old\n"


def test_unsound_annotation_files_are_refused_and_not_touched(detection: Path) -> None:
    path = detection / "annotations/instance_val.json"
    text = path.read_text().replace('"image_id": 0', '"image_id": 5')
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"instance_val.json:6: image_id 5 is not among the images"):
        split_dataset(detection, 80, 20)
    path.write_text(text.replace('"face"', '"head"').replace('"image_id": 5', '"image_id": 0'))
    with pytest.raises(ConfigError, match="its categories are {1: 'head'}, those of instance_train.json {1: 'face'}"):
        split_dataset(detection, 80, 20)
    assert not list((detection / "annotations").glob("*.bak"))


def test_a_folder_without_annotations_is_refused(detection: Path) -> None:
    for split in NAMES:
        (detection / f"annotations/instance_{split}.json").unlink()
    with pytest.raises(ConfigError, match="instance_train.json: is not there"):
        split_dataset(detection, 80, 20)


def test_categories_are_the_same_if_their_ids_and_names_are(detection: Path) -> None:
    face, hand = {"id": 1, "name": "face"}, {"id": 2, "name": "hand"}
    for split, categories in (("train", [face, hand]), ("val", [hand, face | {"supercategory": "body"}])):
        content = read(detection, split) | {"categories": categories}
        (detection / f"annotations/instance_{split}.json").write_text(coco_text(content))
    assert split_dataset(detection, 80, 20).train == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": [1]}, r"instance_val.json:3: an image needs a whole number `id` and a `file_name`"),
        ({"id": None}, r"instance_val.json:3: an image needs a whole number `id`"),
        ({"file_name": "3.png"}, r"instance_val.json:3: image 3.png is there already, in instance_train.json"),
    ],
)
def test_images_without_a_name_or_number_of_their_own_are_named(
    detection: Path, change: dict[str, Any], message: str
) -> None:
    content = read(detection, "val")
    content["images"][1].update(change)
    (detection / "annotations/instance_val.json").write_text(coco_text(content))
    with pytest.raises(ConfigError, match=message):
        split_dataset(detection, 80, 20)


@pytest.mark.parametrize("blocked", ["annotations/instance_train.json", "annotations/instance_val.json"])
def test_a_full_disk_changes_nothing(detection: Path, blocked: str) -> None:
    before, texts = names(detection), {split: read(detection, split) for split in NAMES}
    (detection / f"{blocked}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(ConfigError, match=f"cannot divide {detection}: .*No space left on device"):
        split_dataset(detection, 80, 20)
    assert names(detection) == before
    assert {split: read(detection, split) for split in NAMES} == texts


def test_what_cannot_be_kept_is_not_replaced(detection: Path) -> None:
    before, texts = names(detection), {split: read(detection, split) for split in NAMES}
    (detection / "annotations/instance_val.json.bak").symlink_to("/dev/full/gone")
    with pytest.raises(ConfigError, match=f"cannot divide {detection}: "):
        split_dataset(detection, 80, 20)
    assert names(detection) == before
    assert {split: read(detection, split) for split in NAMES} == texts


def test_identities_that_an_earlier_division_took_out_are_not_lost(feature: Path) -> None:
    split_dataset(feature, 80, 20)
    labels, kept = feature / "train/label.txt", feature / "train/label.txt.bak"
    with pytest.raises(ConfigError, match=rf"took 8 pictures out of {labels}; move {kept} back to its place"):
        split_dataset(feature, 50, 50)
    kept.rename(labels)
    assert split_dataset(feature, 50, 50).train == 5


def test_the_result_can_be_printed_as_json(detection: Path) -> None:
    result = CliRunner().invoke(main, ["dataset", "split", str(detection), "--train", "80", "--val", "20", "--json"])
    kept = [str(detection / f"annotations/instance_{split}.json.bak") for split in NAMES]
    assert json.loads(result.stdout) == {"train": 8, "val": 2, "kept": kept}
