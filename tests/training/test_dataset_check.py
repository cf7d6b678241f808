import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from toonface_client.cli import main
from toonface_contract.errors import ConfigError
from toonface_training.dataset import check_detection
from toonface_training.dataset.check import check_dataset, kind_of
from toonface_training.dataset.coco_file import coco_text

SIZE = (40, 30)
# What PaddleX's tutorial shows.
RESULT_KEYS = [
    "done_flag",
    "check_pass",
    "attributes",
    "analysis",
    "dataset_path",
    "show_type",
    "dataset_type",
]


def picture(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(path)


def truncated_picture(path: Path) -> None:
    """A picture whose head is sound, but whose end is missing."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:-300])


def coco(first: int, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    numbers = range(first, first + len(names))
    return {
        "images": [
            {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for number, name in zip(numbers, names, strict=True)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [5, 6, 10, 12], "area": 120, "iscrowd": 0}
            for number in numbers
        ],
        "categories": [{"id": 1, "name": "face"}],
    }


def write_coco(folder: Path, split: str, content: dict[str, Any]) -> None:
    path = folder / "annotations" / f"instance_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(coco_text(content), encoding="utf-8")


@pytest.fixture
def detection(tmp_path: Path) -> Path:
    folder = tmp_path / "detection"
    for split, first, names in (("train", 1, ["a.png", "b.png", "sub/c.png"]), ("val", 9, ["d.png"])):
        for name in names:
            picture(folder / "images" / name)
        write_coco(folder, split, coco(first, names))
    return folder


@pytest.fixture
def feature(tmp_path: Path) -> Path:
    folder = tmp_path / "feature"
    labels = [f"images/{who}/{number}.png {who}" for who in range(3) for number in range(2)]
    for line in labels:
        picture(folder / "train" / line.split(" ")[0])
    for name in "abc":
        picture(folder / "val/images" / f"{name}.png")
    (folder / "train/label.txt").write_text("\n".join(labels) + "\n")
    (folder / "val/pair_label.txt").write_text("images/a.png images/b.png 1\nimages/a.png images/c.png 0\n")
    return folder


def run(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["dataset", "check", str(folder), "--output", str(folder.parent / "out"), *options])


def verdict(folder: Path) -> dict[str, Any]:
    return json.loads((folder.parent / "out/check_dataset_result.json").read_text(encoding="utf-8"))


def test_a_sound_detection_set_gets_paddlexs_verdict(detection: Path) -> None:
    result = run(detection)
    assert result.exit_code == 0, result.output
    assert "Check dataset passed" in result.output
    found = verdict(detection)
    assert list(found) == RESULT_KEYS
    assert found == {
        "done_flag": True,
        "check_pass": True,
        "attributes": {
            "num_classes": 1,
            "train_samples": 3,
            "train_sample_paths": [f"check_dataset/demo_img/{name}.png" for name in "abc"],
            "val_samples": 1,
            "val_sample_paths": ["check_dataset/demo_img/d.png"],
        },
        "analysis": {"histogram": "check_dataset/histogram.png"},
        "dataset_path": str(detection),
        "show_type": "image",
        "dataset_type": "COCODetDataset",
    }


def test_samples_have_their_boxes_drawn_in(detection: Path) -> None:
    run(detection)
    out = detection.parent / "out"
    with Image.open(out / "check_dataset/demo_img/a.png") as sample:
        assert sample.size == SIZE
        assert sample.getpixel((5, 10)) == (255, 0, 0)
        assert sample.getpixel((10, 10)) == (90, 120, 150)
    with Image.open(out / "check_dataset/histogram.png") as plot:
        assert plot.width > 500


def test_a_sound_feature_set_gets_paddlexs_verdict(feature: Path) -> None:
    result = run(feature, "--json")
    assert result.exit_code == 0, result.output
    found = verdict(feature)
    assert json.loads(result.stdout) == found
    assert list(found) == RESULT_KEYS
    attributes = found["attributes"]
    assert {key: value for key, value in attributes.items() if not key.endswith("_paths")} == {
        "train_label_file": "../../feature/train/label.txt",
        "train_num_classes": 3,
        "train_samples": 6,
        "val_label_file": "../../feature/val/pair_label.txt",
        "val_num_classes": 2,
        "val_samples": 2,
    }
    samples = attributes["train_sample_paths"] + attributes["val_sample_paths"]
    assert len(set(samples)) == 8
    assert all((feature.parent / "out" / path).exists() for path in samples)
    assert found["analysis"] == {}
    assert found["dataset_type"] == "ClsDataset"


Change = Callable[[dict[str, list[dict[str, Any]]]], object]


# The line is that of the entry: the lists start on lines 1, 6 and 11 of a file with three images.
@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (lambda content: content["images"][1].update(file_name="gone.png"), 3, "gone.png is not there"),
        (lambda content: content["images"][1].update(id=1), 3, "image id 1 is there twice"),
        (lambda content: content["images"][1].update(file_name="a.png"), 3, "image a.png is there twice"),
        (lambda content: content["images"][1].update(width=41), 3, "image b.png is 40 x 30, not 41 x 30 pixels"),
        (lambda content: content["images"][1].pop("height"), 3, "an image needs whole numbers"),
        (lambda content: content["images"][1].update(height=30.5), 3, "an image needs whole numbers"),
        (lambda content: content["images"][1].update(file_name="b\0.png"), 3, "is not a picture that can be read"),
        (lambda content: content["annotations"][2].update(bbox=[35, 6, 10, 12]), 9, "reaches outside its image of 40"),
        (lambda content: content["annotations"][2].update(bbox=[-3, 6, 10, 12]), 9, "reaches outside its image of 40"),
        (lambda content: content["annotations"][2].update(bbox=[5, 6, 0, 12]), 9, "has no area"),
        (lambda content: content["annotations"][2].update(bbox=[5, 6, 10]), 9, "is not four numbers"),
        (lambda content: content["annotations"][2].update(bbox=["5", 6, 10, 12]), 9, "is not four numbers"),
        (lambda content: content["annotations"][2].update(bbox=[5, float("nan"), 10, 12]), 9, "is not four numbers"),
        (lambda content: content["annotations"][2].update(bbox=[5, 6, float("inf"), 12]), 9, "is not four numbers"),
        (lambda content: content["annotations"][2].update(bbox=[5, 6, 10**400, 12]), 9, "is not four numbers"),
        (lambda content: content["annotations"][2].update(category_id=2), 9, "2 is unknown; there are 1 (face)"),
        (lambda content: content["annotations"][2].update(image_id=77), 9, "image_id 77 is not among the images"),
        (lambda content: content["annotations"][2].update(id=1), 9, "annotation id 1 is there twice"),
        (lambda content: content["annotations"][2].pop("id"), 9, "an annotation needs a whole number `id`"),
        (lambda content: content["categories"].append({"id": 1, "name": "cat"}), 13, "category id 1 is there twice"),
        (lambda content: content["categories"][0].pop("name"), 12, "a category needs a whole number `id`"),
        (lambda content: content["annotations"].append("mine"), 10, 'an entry of `annotations` is "mine"'),
        (lambda content: content["categories"].clear(), None, "has no category"),
        (lambda content: content.pop("annotations"), None, "has no list `annotations`"),
        (lambda content: content["annotations"].clear(), None, "has no face to learn from"),
        (lambda content: [each.update(iscrowd=1) for each in content["annotations"]], None, "has no face to learn"),
    ],
)
def test_what_is_wrong_with_a_coco_file_is_named_by_line(
    detection: Path, change: Change, line: int | None, message: str
) -> None:
    content = coco(1, ["a.png", "b.png", "sub/c.png"])
    change(content)
    write_coco(detection, "train", content)
    result = run(detection)
    assert result.exit_code == 1
    path = detection / "annotations/instance_train.json"
    where = str(path) if line is None else f"{path}:{line}"
    assert any(text.startswith(f"{where}: ") and message in text for text in result.output.splitlines()), result.output
    found = verdict(detection)
    assert found["done_flag"] is False
    assert found["check_pass"] is False
    assert any(each["line"] == line and message in each["message"] for each in found["problems"])
    assert not (detection.parent / "out/check_dataset").exists()


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{"images": [\n{"id": 1,]', ":2", "is not JSON"),
        ("[]", ":1", "is not JSON: Expecting '{'"),
        ("", ":1", "is not JSON"),
        ('{"images": [], "annotations": [], "categories": []} x', ":1", "is not JSON: Extra data"),
        ('{"images": [] "annotations": []}', ":1", "is not JSON: Expecting ','"),
        ('{"images": ' + "[" * 100_000, "", "cannot be read"),
        ('{"info": ' + "9" * 5000, "", "cannot be read"),
    ],
)
def test_a_file_that_is_not_coco_is_named(detection: Path, text: str, place: str, message: str) -> None:
    path = detection / "annotations/instance_val.json"
    path.write_text(text)
    assert f"{path}{place}: {message}" in run(detection).output


def test_coco_in_one_line_is_read_too(detection: Path) -> None:
    path = detection / "annotations/instance_train.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert run(detection).exit_code == 0


def test_sizes_may_be_written_as_paddlexs_conversion_does(detection: Path) -> None:
    content = coco(1, ["a.png", "b.png", "sub/c.png"])
    content["images"][0].update(width=40.0, height=30.0)
    write_coco(detection, "train", content)
    assert run(detection).exit_code == 0


def test_a_missing_annotation_file_is_named(detection: Path) -> None:
    (detection / "annotations/instance_val.json").unlink()
    assert f"{detection / 'annotations/instance_val.json'}: is not there" in run(detection).output


def test_categories_of_both_files_must_be_the_same(detection: Path) -> None:
    content = coco(9, ["d.png"])
    content["categories"][0]["name"] = "head"
    write_coco(detection, "val", content)
    assert "its categories are {1: 'head'}, those of training {1: 'face'}" in run(detection).output


def test_a_picture_that_is_in_both_files_is_warned_of(detection: Path) -> None:
    write_coco(detection, "val", coco(9, ["d.png", "a.png"]))
    result = run(detection)
    assert result.exit_code == 0
    path = detection / "annotations/instance_val.json"
    assert f"warning: {path}:3: image a.png is in instance_train.json too" in result.stderr


def test_categories_of_one_name_are_counted_together(detection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []

    def histogram(counts: dict[str, dict[str, int]], output: Path) -> str:
        counted.append(counts)
        return ""

    monkeypatch.setattr(check_detection, "histogram", histogram)
    for split, first, names in (("train", 1, ["a.png", "b.png", "sub/c.png"]), ("val", 9, ["d.png"])):
        content = coco(first, names)
        content["categories"].append({"id": 2, "name": "face"})
        write_coco(detection, split, content)
    assert run(detection).exit_code == 0
    assert counted == [{"train": {"face": 3}, "val": {"face": 1}}]


def test_a_sample_that_cannot_be_decoded_is_named(detection: Path, feature: Path) -> None:
    truncated_picture(detection / "images/b.png")
    output = run(detection).output
    assert f"instance_train.json:3: image {detection / 'images/b.png'} is not a picture that can be read" in output
    truncated_picture(feature / "train/images/0/1.png")
    truncated_picture(feature / "val/images/a.png")
    output = run(feature).output
    for file, line, name in (("train/label.txt", 2, "0/1.png"), ("val/pair_label.txt", 2, "a.png")):
        damaged = (feature / file).parent / "images" / name
        assert f"{feature / file}:{line}: picture {damaged} is not a picture that can be read" in output
    assert not (feature.parent / "out/check_dataset").exists()


def test_samples_of_any_suffix_are_written(detection: Path) -> None:
    (detection / "images/b.png").rename(detection / "images/a.face")
    write_coco(detection, "train", coco(1, ["a.png", "a.face", "sub/c.png"]))
    result = run(detection)
    assert result.exit_code == 0, result.output
    samples = verdict(detection)["attributes"]["train_sample_paths"]
    assert samples == [f"check_dataset/demo_img/{name}.png" for name in ("a", "a_2", "c")]
    assert all((detection.parent / "out" / path).exists() for path in samples)


def test_nothing_of_an_earlier_check_is_left_beside_a_new_verdict(detection: Path) -> None:
    run(detection)
    left = detection.parent / "out/check_dataset"
    (left / "mine.txt").write_text("mine")
    (detection / "images/d.png").unlink()
    assert run(detection).exit_code == 1
    assert [path.name for path in left.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written_to_is_named(detection: Path) -> None:
    file = detection / "file"
    file.write_text("mine")
    result = CliRunner().invoke(main, ["dataset", "check", str(detection), "--output", str(file / "out")])
    assert result.exit_code == 1
    assert f"cannot check {detection}: Not a directory: {file}" in result.output


def test_a_damaged_picture_is_named(detection: Path) -> None:
    (detection / "images/b.png").write_bytes(b"no picture")
    output = run(detection).output
    assert f"instance_train.json:3: image {detection / 'images/b.png'} is not a picture that can be read" in output


def test_a_picture_on_its_side_is_measured_upright(detection: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE[::-1]).save(detection / "images/b.png", exif=exif)
    assert run(detection).exit_code == 0


@pytest.mark.parametrize(
    ("file", "number", "text", "message"),
    [
        ("train/label.txt", 2, "images/0/gone.png 0", "gone.png is not there"),
        ("train/label.txt", 2, "images/0/0.png 0", "images/0/0.png is there already, on line 1"),
        ("train/label.txt", 2, "images/0/1.png zero", "id `zero` is not a whole number from 0 up"),
        ("train/label.txt", 2, "images/0/1.png -1", "id `-1` is not a whole number from 0 up"),
        ("train/label.txt", 2, "images/0/1.png", "is not `path id` with one space between"),
        ("train/label.txt", 2, "images/0/1.png  0", "is not `path id` with one space between"),
        ("train/label.txt", 2, "", "is not `path id` with one space between"),
        ("train/label.txt", 2, "images/0/1.png 4", "ids count from 0 without gaps; 3 is missing before 4"),
        ("train/label.txt", 2, "images/0/1.png 9", "ids count from 0 without gaps; 3 to 8 is missing before 9"),
        ("val/pair_label.txt", 1, "images/a.png images/gone.png 1", "gone.png is not there"),
        ("val/pair_label.txt", 1, "images/gone.png images/a.png 1", "gone.png is not there"),
        ("val/pair_label.txt", 1, "images/a.png images/a.png 1", "images/a.png is paired with itself"),
        ("val/pair_label.txt", 1, "images/a.png images/b.png 2", "`2` is neither 1 (one identity) nor 0 (two)"),
        ("val/pair_label.txt", 1, "images/a.png images/b.png", "is not `left right 0|1` with one space between"),
    ],
)
def test_what_is_wrong_with_a_list_is_named_by_line(
    feature: Path, file: str, number: int, text: str, message: str
) -> None:
    path = feature / file
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")
    result = run(feature)
    assert result.exit_code == 1
    assert any(line.startswith(f"{path}:{number}: ") and message in line for line in result.output.splitlines()), (
        result.output
    )


def test_ids_start_from_zero(feature: Path) -> None:
    path = feature / "train/label.txt"
    path.write_text("images/1/0.png 1\nimages/2/0.png 2\n")
    assert f"{path}:1: ids count from 0 without gaps; 0 is missing before 1" in run(feature).output


@pytest.mark.parametrize("file", ["train/label.txt", "val/pair_label.txt"])
def test_missing_and_empty_lists_are_named(feature: Path, file: str) -> None:
    (feature / file).write_text("")
    assert f"{feature / file}: is empty" in run(feature).output
    (feature / file).unlink()
    assert f"{feature / file}: is not there" in run(feature).output


def test_pairs_of_one_kind_only_measure_nothing(feature: Path) -> None:
    (feature / "val/pair_label.txt").write_text("images/a.png images/b.png 1\n")
    assert "needs pairs of one identity (1) and pairs of two (0)" in run(feature).output


def test_pairs_that_are_there_twice_are_warned_of(feature: Path) -> None:
    path = feature / "val/pair_label.txt"
    path.write_text(path.read_text() + "images/b.png images/a.png 1\n")
    result = run(feature)
    assert result.exit_code == 0
    assert f"warning: {path}:3: the pair images/b.png images/a.png is there already, on line 1" in result.stderr


def test_many_problems_are_counted_and_all_kept(feature: Path) -> None:
    (feature / "train/label.txt").write_text("".join(f"images/gone{number}.png 0\n" for number in range(30)))
    result = run(feature)
    assert "and 10 more" in result.output
    assert "30 problem(s)" in result.output
    assert len(verdict(feature)["problems"]) == 30


def test_the_kind_is_found_out_or_asked_for(detection: Path, feature: Path, tmp_path: Path) -> None:
    assert kind_of(detection) == "detection"
    assert kind_of(feature) == "feature"
    with pytest.raises(ConfigError, match="neither annotations/ .* nor train/ .*; name one of .*detection, .*feature"):
        kind_of(tmp_path)
    with pytest.raises(ConfigError, match="is not a folder"):
        kind_of(tmp_path / "gone")
    with pytest.raises(ConfigError, match="is not a folder"):
        check_dataset(tmp_path / "gone", tmp_path / "out")
    assert not check_dataset(feature, tmp_path / "out", "detection").result["check_pass"]
