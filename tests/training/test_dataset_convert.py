import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from toonface_client.cli import main
from toonface_contract.errors import ConfigError
from toonface_training.dataset.check import check_dataset
from toonface_training.dataset.convert import convert_dataset

VOC = """<annotation><folder>images</folder><filename>{name}</filename>
<size><width>40</width><height>30</height><depth>3</depth></size>
<object><name>face</name><bndbox><xmin>4</xmin><ymin>20</ymin><xmax>14.5</xmax><ymax>5</ymax></bndbox></object>
<object><name>pose only</name></object>
</annotation>
"""


def labelme(name: str, *shapes: dict[str, Any]) -> str:
    content = {"version": "5", "imagePath": f"..\\images\\{name}", "imageWidth": 40, "imageHeight": 30}
    return json.dumps(content | {"shapes": list(shapes)})


def shape(label: str = "face", points: Any = ((14.5, 5), (4, 20)), kind: str = "rectangle") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind}


def dataset(folder: Path, suffix: str, count: int = 5) -> Path:
    for each in ("images", "annotations"):
        (folder / each).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (40, 30)).save(folder / f"images/{number}.png")
        text = VOC.format(name=f"{number}.jpg") if suffix == "xml" else labelme(f"{number}.png", shape())
        (folder / f"annotations/{number}.{suffix}").write_text(text)
    lines = [f"annotations/{number}.{suffix}\n" for number in range(count)]
    (folder / "train_anno_list.txt").write_text("".join(lines[:3]))
    # A list may name the picture first.
    (folder / "val_anno_list.txt").write_text("".join(f"images/{number}.png {lines[number]}" for number in (3, 4)))
    return folder


def run(folder: Path, source: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["dataset", "convert", str(folder), "--from", source, *options])


def read(folder: Path, split: str) -> dict[str, Any]:
    return json.loads((folder / f"annotations/instance_{split}.json").read_text())


@pytest.mark.parametrize(("source", "suffix"), [("LabelMe", "json"), ("VOC", "xml")])
def test_boxes_become_coco(tmp_path: Path, source: str, suffix: str) -> None:
    folder = dataset(tmp_path / "set", suffix)
    result = run(folder, source)
    assert result.exit_code == 0, result.output
    assert "converted: 3 images to train on, 2 to validate with" in result.output
    train, val = read(folder, "train"), read(folder, "val")
    assert train["images"][0] == {"id": 1, "file_name": "0.png", "width": 40, "height": 30}
    assert train["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [4, 5, 10.5, 15],
        "area": 157.5,
        "iscrowd": 0,
        "ignore": 0,
    }
    assert train["categories"] == val["categories"] == [{"id": 1, "name": "face"}]
    assert [image["id"] for image in val["images"]] == [4, 5]
    assert check_dataset(folder, tmp_path / "out").problems == ()


def test_without_a_validation_list_a_fifth_becomes_it(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "xml", count=10)
    (folder / "val_anno_list.txt").unlink()
    listed = [f"annotations/{number}.xml" for number in range(10)]
    (folder / "train_anno_list.txt").write_text("\n".join(listed) + "\n")
    assert convert_dataset(folder, "VOC") == {"train": 8, "val": 2}
    lists = [(folder / f"{split}_anno_list.txt").read_text().split() for split in ("train", "val")]
    assert sorted(sum(lists, [])) == listed
    assert (folder / "train_anno_list.txt.bak").read_text().split() == listed


def test_an_empty_validation_list_is_for_splitting_later(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "json")
    (folder / "val_anno_list.txt").write_text("")
    assert convert_dataset(folder, "LabelMe") == {"train": 3, "val": 0}
    result = CliRunner().invoke(main, ["dataset", "split", str(folder), "--train", "67", "--val", "33"])
    assert result.exit_code == 0, result.output
    assert check_dataset(folder, tmp_path / "out").problems == ()


def test_the_counts_can_be_printed_as_json(tmp_path: Path) -> None:
    result = run(dataset(tmp_path / "set", "json"), "LabelMe", "--json")
    assert json.loads(result.stdout) == {"train": 3, "val": 2}


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "xml", count=10)
    (folder / "val_anno_list.txt").unlink()
    (folder / "train_anno_list.txt").write_text("".join(f"annotations/{number}.xml\n" for number in range(10)))
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    (folder / f"val_anno_list.txt.{os.getpid()}.tmp").symlink_to("/dev/full")
    result = run(folder, "VOC")
    assert result.exit_code == 1
    assert f"cannot convert {folder}: " in result.output
    assert "No space left on device" in result.output
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_older_annotations_are_kept(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "json")
    (folder / "annotations/instance_train.json").write_text("mine")
    convert_dataset(folder, "LabelMe")
    assert (folder / "annotations/instance_train.json.bak").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (labelme("0.png", shape(kind="polygon")), "0.json: shapes 1 shape_type: Input should be 'rectangle'"),
        (labelme("0.png", shape(), shape(points=[[1, 2]])), "0.json: shapes 2 points 2: Field required"),
        (labelme("0.png", shape(label="")), "0.json: shapes 1 label"),
        (
            labelme("0.png", shape(), shape(points=[[1, 2], [1, 9]])),
            "0.json: shapes 2: bbox [1.0, 2.0, 0.0, 7.0] has no",
        ),
        (
            labelme("0.png", shape(points=[[1, 2], [99, 9]])),
            "0.json: shapes 1: bbox [1.0, 2.0, 98.0, 7.0] reaches outs",
        ),
        (
            labelme("0.png", shape(points=[[1, 2], [3, float("nan")]])),
            "0.json: shapes 1: its corners (1.0, 2.0, 3.0, nan)",
        ),
        ("[]", "0.json: Input should be a valid dictionary"),
        ("[" * 100_000, "0.json: cannot be read"),
        (labelme("gone.png").replace("gone", "x"), ""),
        ('{"shapes": []}', "0.json: imagePath: Field required"),
        ('{\n"shapes": [,]}', "0.json:2: is not JSON"),
    ],
)
def test_wrong_labelme_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    folder = dataset(tmp_path / "set", "json")
    (folder / "annotations/0.json").write_text(text)
    result = run(folder, "LabelMe")
    if not message:  # the picture is found by the annotation's own name
        assert result.exit_code == 0
        return
    assert result.exit_code == 1
    assert message in result.output
    assert not (folder / "annotations/instance_train.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", "0.xml:6: is not XML"),
        ("<xmin>4</xmin>", "", "0.xml: object 1: its bndbox has xmin, ymin, xmax, ymax"),
        ("<xmin>4</xmin>", "<xmin>four</xmin>", "0.xml: object 1: its bndbox has xmin, ymin, xmax, ymax"),
        ("<name>face</name>", "<name> </name>", "0.xml: object 1: it has no name"),
        ("<xmin>4</xmin>", "<xmin>14.5</xmin>", "0.xml: object 1: bbox [14.5, 5.0, 0.0, 15.0] has no area"),
        ("<object><name>face", "<object/><object><name>", "0.xml: object 2: it has no name"),
        ("<ymin>20</ymin>", "<ymin>200</ymin>", "0.xml: object 1: bbox [4.0, 5.0, 10.5, 195.0] reaches outside"),
        (
            "<ymin>20</ymin>",
            "<ymin>nan</ymin>",
            "0.xml: object 1: its corners (4.0, nan, 14.5, 5.0) are not four numbers",
        ),
        ("<annotation>", '<?xml version="1.0" encoding="gb2312"?><annotation>', "0.xml: cannot be read: multi-byte"),
        (
            "<annotation>",
            '<?xml version="1.0" encoding="runes"?><annotation>',
            "0.xml: cannot be read: unknown encoding",
        ),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "0.xml: cannot be read"),
    ],
)
def test_wrong_voc_files_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = dataset(tmp_path / "set", "xml")
    path = folder / "annotations/0.xml"
    path.write_text(path.read_text().replace(old, new, 1))
    result = run(folder, "VOC")
    assert result.exit_code == 1
    assert message in result.output
    assert not (folder / "annotations/instance_train.json").exists()


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "xml")
    (folder / "images/0.png").unlink()
    (folder / "images/1.png").write_bytes(b"no picture")
    (folder / "annotations/3.xml").unlink()
    output = run(folder, "VOC").output
    assert f"0.xml: its picture `0.jpg` is not in {folder / 'images'}" in output
    assert "1.png: is not a picture that can be read" in output
    assert "val_anno_list.txt:1: `images/3.png annotations/3.xml` does not end with the path of a .xml file" in output
    (folder / "train_anno_list.txt").unlink()
    assert "train_anno_list.txt: is not there" in run(folder, "VOC").output


def test_a_picture_that_is_annotated_twice_is_refused(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "json")
    (folder / "val_anno_list.txt").write_text("\nannotations/0.json\n")
    message = "val_anno_list.txt:2: picture 0.png is annotated already, in train_anno_list.txt on line 1"
    assert message in run(folder, "LabelMe").output


def test_lines_are_named_as_they_stand_whichever_part_they_are_for(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "xml")
    (folder / "val_anno_list.txt").unlink()
    names = [f"annotations/{number}.xml" for number in range(5)]
    (folder / "train_anno_list.txt").write_text("\n".join([*names[:2], "", *(f"{name}.gone" for name in names[2:])]))
    output = run(folder, "VOC").output
    for number, name in enumerate(names[2:], start=4):
        assert f"{folder / 'train_anno_list.txt'}:{number}: `{name}.gone` does not end with" in output


def test_too_few_to_divide(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", "json")
    (folder / "val_anno_list.txt").unlink()
    (folder / "train_anno_list.txt").write_text("annotations/0.json\n")
    assert "names 1 annotation files, too few to keep a fifth" in run(folder, "LabelMe").output


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="src_dataset_type YOLO is unknown; there are LabelMe, VOC"):
        convert_dataset(tmp_path, "YOLO")  # type: ignore[arg-type]
    assert "'YOLO' is not one of 'LabelMe', 'VOC'" in run(tmp_path, "YOLO").output
