"""`toonface predict` as a user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from evaluation_sets import DEMO, MODELS
from PIL import Image

from toonface_client.cli import main
from toonface_training.evaluation import predict, predict_cli


def _predict(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_a_detector_draws_what_it_sees(tmp_path: Path) -> None:
    done = _predict(
        MODELS / "BlazeFace-FPN-SSH",
        DEMO / "pictures" / "two.jpg",
        "--det-threshold",
        0.75,
        "--save",
        tmp_path,
        "--json",
    )
    assert done.exit_code == 0, done.output
    (picture,) = json.loads(done.stdout)["pictures"]
    assert len(picture["faces"]) == 2
    assert picture["saved"] == str(tmp_path / "two.jpg")
    with Image.open(DEMO / "pictures" / "two.jpg") as before, Image.open(tmp_path / "two.jpg") as after:
        assert before.size == after.size == (picture["width"], picture["height"])
        box = picture["faces"][0]["box"]
        edge = slice(int(box["y1"]) + 10, int(box["y2"]) - 10), slice(int(box["x1"]) - 1, int(box["x1"]) + 2)
        changed = np.abs(np.asarray(before).astype(int) - np.asarray(after)).max(axis=2)
        assert np.median(changed[edge]) > 30
        assert np.median(changed) < 10


def test_an_embedder_shows_the_most_similar_picture(tmp_path: Path) -> None:
    pictures = [DEMO / "gallery" / name for name in ("01-1.jpg", "01-2.jpg", "02-1.jpg", "02-2.jpg")]
    done = _predict(MODELS / "MobileFaceNet", *pictures, "--save", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["pictures"]
    assert [Path(each["nearest"]["path"]).name for each in found] == ["01-2.jpg", "01-1.jpg", "02-2.jpg", "02-1.jpg"]
    assert np.linalg.norm(found[0]["embedding"]) == pytest.approx(1)
    with Image.open(tmp_path / "nearest.png") as sheet:
        assert sheet.width > sheet.height > 100


def test_an_exported_repository_detects_or_embeds(repository: Path) -> None:
    picture = DEMO / "pictures" / "two.jpg"
    assert "faces: 2" in _predict(repository, picture, "--det-threshold", 0.75).stdout
    done = _predict(repository, picture, "--embed", "--json")
    (alone,) = json.loads(done.stdout)["pictures"]
    assert (len(alone["embedding"]), alone["nearest"]) == (128, None)


@pytest.mark.parametrize("model", ["BlazeFace-FPN-SSH", "MobileFaceNet"])
def test_a_bad_picture_fails_alone(model: str, tmp_path: Path) -> None:
    shutil.copy(DEMO / "gallery" / "01-1.jpg", tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff cut short")
    done = _predict(MODELS / model, tmp_path, "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["failed"] == 1
    assert {Path(each["path"]).name: "error" in each for each in document["pictures"]} == {
        "bad.jpg": True,
        "good.jpg": False,
    }
    assert "bad.jpg" in done.stderr


def test_pictures_beyond_a_sheet_are_compared_and_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [DEMO / "gallery" / name for name in ("01-1.jpg", "02-1.jpg", "01-2.jpg", "02-2.jpg")]
    expected = _predict("colour-histogram", *pictures).stdout
    monkeypatch.setattr(predict, "MOST_TILES", 2)
    monkeypatch.setattr(predict_cli, "MOST_TILES", 2)
    monkeypatch.setattr(predict, "_AT_ONCE", 9)  # similarities are made two rows at a time
    done = _predict("colour-histogram", *pictures, "--save", tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(expected)
    assert "shows the first 2 of 4 pictures" in done.stdout
    with Image.open(tmp_path / "nearest.png") as sheet:
        assert sheet.width < 600


def test_a_lone_picture_is_drawn_alone(tmp_path: Path) -> None:
    done = _predict("colour-histogram", DEMO / "gallery" / "01-1.jpg", "--save", tmp_path)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "nearest.png") as sheet:
        assert sheet.width < sheet.height


def test_an_earlier_sheet_is_no_face(tmp_path: Path) -> None:
    for name in ("01-1.jpg", "01-2.jpg"):
        shutil.copy(DEMO / "gallery" / name, tmp_path)
    assert _predict("colour-histogram", tmp_path, "--save", tmp_path).exit_code == 0
    before = (tmp_path / "nearest.png").read_bytes()
    done = _predict("colour-histogram", tmp_path, "--save", tmp_path)
    assert done.exit_code == 1
    assert "would overwrite the picture" in done.stderr
    assert (tmp_path / "nearest.png").read_bytes() == before


def test_embeddings_are_shown_though_the_sheet_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "nearest.png").mkdir()
    done = _predict("colour-histogram", DEMO / "gallery" / "01-1.jpg", "--save", tmp_path, "--json")
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["pictures"]) == 1
    assert "cannot save" in done.stderr


def test_an_embedder_has_no_use_for_a_detectors_threshold() -> None:
    done = _predict("colour-histogram", DEMO / "gallery" / "01-1.jpg", "--det-threshold", 0.5)
    assert done.exit_code == 1
    assert "--det-threshold changes nothing for an embedder" in done.stderr
