"""`toonface evaluate` as a user runs it, on the demo's pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evaluation_sets import DEMO, MODELS
from PIL import Image

from toonface_client.cli import main


def _evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_detection_writes_its_result_and_a_report(detection_set: Path, tmp_path: Path) -> None:
    # At so low a threshold there are false boxes to show.
    done = _evaluate(
        "detection", MODELS / "BlazeFace-FPN-SSH", detection_set, "--det-threshold", 0.2, "--output", tmp_path, "--json"
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert json.loads((tmp_path / "evaluate_result.json").read_text()) == document
    assert document["done_flag"] is True
    assert document["metrics"]["AP50"] > 0.9
    figures = document["figures"]
    assert figures["recall"]["hits"] / figures["recall"]["of"] == pytest.approx(document["metrics"]["recall"])
    assert (figures["faces"], figures["pictures"]) == (26, 6)
    page = (tmp_path / "report" / "index.html").read_text()
    for name in ("precision_recall", "overlaps", "false_boxes", "loose_boxes"):
        assert f"{name}.png" in page
        with Image.open(tmp_path / "report" / f"{name}.png") as picture:
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 2, f"{name} shows nothing"


def test_features_are_measured_on_pairs_and_a_gallery(feature_set: Path, tmp_path: Path) -> None:
    done = _evaluate(
        *("feature", "colour-histogram", feature_set, "--shots", 1, "--shots", 2),
        *("--far", 0.01, "--far", 0.5, "--flip-test", "--output", tmp_path, "--json"),
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    pairs = document["figures"]["pairs"]
    assert (pairs["accuracy"]["pairs"], pairs["accuracy"]["same"]) == (48, 24)
    assert document["metrics"]["acc"] == pairs["accuracy_flip_test"]["accuracy"]
    one, two = (document["figures"]["galleries"][shots] for shots in "12")
    assert (one["gallery_pictures"], two["gallery_pictures"], one["probes"]) == (21, 42, 24)
    assert (one["rank1"]["of"], one["deployed"]["strangers_named"]["of"]) == (21, 3)
    assert one["rank5"]["hits"] >= one["rank1"]["hits"] > 0
    by_style = one["rank1_by_style"]
    assert {style: rate["of"] for style, rate in by_style.items()} == {"even": 11, "odd": 10}
    assert sum(rate["hits"] for rate in by_style.values()) == one["rank1"]["hits"]
    assert by_style["even"]["hits"] != by_style["odd"]["hits"]
    assert "rank 1 of even" in (tmp_path / "report" / "index.html").read_text()
    # Each probe against 21 pictures, or those of its own style but its own: 11 of one, 10 of the other; 12 probes each.
    impostors = one["verification"]
    assert impostors["impostors"]["0.01"]["far"]["of"] == 24 * 21 - 21
    assert impostors["alike"]["0.01"]["far"]["of"] == 12 * 11 + 12 * 10 - 21
    for far in (0.01, 0.5):
        assert impostors["alike"][f"{far:g}"]["far"]["value"] <= far
    # One of three strangers is within half of them, two are not.
    assert one["thresholds_for_far"]["0.5"]["strangers_named"]["hits"] == 1
    told = pairs["verification"]
    assert list(told) == ["0.01", "0.5"]
    assert told["0.5"]["far"]["of"] == told["0.5"]["tar"]["of"] == 24
    assert told["0.5"]["tar"]["hits"] > told["0.5"]["far"]["hits"] == 12
    for name in ("pair_scores", "pair_roc", "gallery_1_wrong", "gallery_2_strangers", "gallery_1_roc", "false_accepts"):
        assert (tmp_path / "report" / f"{name}.png").stat().st_size > 5_000, name


def test_the_demo_models_name_the_demo(detection_set: Path, tmp_path: Path) -> None:
    done = _evaluate(
        *("recognition", MODELS / "face_recognition.yaml", detection_set),
        *("--gallery", DEMO / "gallery" / "gallery.txt", "--output", tmp_path, "--json"),
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["figures"]
    assert (figures["found"]["of"], figures["rank1"]["of"]) == (26, 25)
    assert figures["rank1"]["hits"] >= 24
    assert figures["rank1_of_found"]["of"] <= figures["found"]["hits"]
    assert figures["deployed"]["strangers_named"]["of"] == 1
    assert "recognition_ranks.png" in (tmp_path / "report" / "index.html").read_text()


def test_without_json_there_is_a_table(feature_set: Path) -> None:
    done = _evaluate("feature", "colour-histogram", feature_set)
    assert done.exit_code == 0, done.output
    for text in ("accuracy, as served", "48 pairs", "rank 1", "of the same style", "TAR at FAR 0.01 against different"):
        assert text in done.stdout


def test_thresholds_are_shown_in_full(feature_set: Path) -> None:
    arguments = ("feature", "colour-histogram", feature_set, "--far", 0.34)
    figures = json.loads(_evaluate(*arguments, "--json").stdout)["figures"]
    threshold = figures["galleries"]["all"]["thresholds_for_far"]["0.34"]["rec_threshold"]
    (row,) = (line for line in _evaluate(*arguments).stdout.splitlines() if "rec_threshold that names" in line)
    shown = next(word for word in row.split() if word.startswith("0.") and len(word) == 7)
    assert float(shown) == threshold
    strict = _evaluate(*arguments, "--rec-threshold", shown, "--json")
    named = json.loads(strict.stdout)["figures"]["galleries"]["all"]["deployed"]["strangers_named"]
    assert named == figures["galleries"]["all"]["thresholds_for_far"]["0.34"]["strangers_named"]


def test_without_the_flip_test_the_accuracy_is_not_paddlexs(feature_set: Path, tmp_path: Path) -> None:
    # PaddleX's layout: pairs, and no gallery.
    shutil.copytree(feature_set / "val", tmp_path / "val")
    done = _evaluate("feature", "colour-histogram", tmp_path, "--far", 0.1, "--json")
    document = json.loads(done.stdout)
    pairs = document["figures"]["pairs"]
    assert document["metrics"] == {"acc_as_served": pairs["accuracy"]["accuracy"]}
    assert pairs["verification"]["0.1"]["far"]["value"] <= 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("feature", "colour-histogram", DEMO), "has neither val/pair_label.txt nor gallery.txt"),
        (("detection", "colour-histogram", DEMO), "finds no faces"),
        (("detection", "nothing", DEMO), "is nothing that can be evaluated"),
    ],
)
def test_bad_arguments_are_refused_in_a_line(arguments: tuple[object, ...], message: str) -> None:
    done = _evaluate(*arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--probes", "--shots", "--rec-threshold"])
def test_what_is_asked_of_a_gallery_that_is_not_there_is_refused(
    option: str, feature_set: Path, tmp_path: Path
) -> None:
    shutil.copytree(feature_set / "val", tmp_path / "val")
    value = feature_set / "probe.txt" if option == "--probes" else 1
    done = _evaluate("feature", "colour-histogram", tmp_path, option, value)
    assert done.exit_code == 1
    assert f"{option} is for galleries" in done.stderr


def test_a_flip_test_without_pairs_is_refused(feature_set: Path, tmp_path: Path) -> None:
    shutil.copy(feature_set / "gallery.txt", tmp_path)
    done = _evaluate("feature", "colour-histogram", tmp_path, "--flip-test")
    assert done.exit_code == 1
    assert "--flip-test is for pairs" in done.stderr


def test_scenes_of_others_than_the_gallerys_are_refused(detection_set: Path, feature_set: Path) -> None:
    done = _evaluate(
        *("recognition", MODELS / "face_recognition.yaml", detection_set, "--gallery", feature_set / "gallery.txt")
    )
    assert done.exit_code == 1
    assert "no face of the scenes is of a character of the gallery" in done.stderr


def test_an_output_that_cannot_be_written_is_found_out_before_the_work(feature_set: Path, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("in the way")
    done = _evaluate("feature", "colour-histogram", feature_set, "--output", tmp_path, "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot write to" in done.stderr


def test_figures_are_shown_though_they_cannot_be_written(feature_set: Path, tmp_path: Path) -> None:
    (tmp_path / "evaluate_result.json").mkdir()
    done = _evaluate("feature", "colour-histogram", feature_set, "--output", tmp_path, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["done_flag"] is True
    assert "cannot write" in done.stderr
    assert [path.name for path in tmp_path.glob("*evaluate_result*")] == ["evaluate_result.json"]
