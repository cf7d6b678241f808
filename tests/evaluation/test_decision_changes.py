"""Decisions that change from one form of the models to another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from evaluation_sets import DEMO, MODELS

from toonface_client.cli import main
from toonface_training.evaluation import changes_cli
from toonface_training.evaluation.changes import Decisions, _names, compare
from toonface_training.evaluation.metrics.detection import Detections
from toonface_training.evaluation.metrics.rate import Rate


def _found(*lefts: float) -> Detections:
    """Faces of 10 x 10 pixels, side by side."""
    boxes = np.array([[left, 0, left + 10, 10] for left in lefts], np.float32).reshape(-1, 4)
    return Detections(boxes, np.linspace(0.9, 0.8, len(lefts), dtype=np.float32))


def _decisions(found: list[Detections], names: list[list[str]], probes: list[str]) -> Decisions:
    return Decisions("form", found, names, probes, Rate(0, len(probes)))


def test_faces_of_one_alone_and_other_names_are_counted() -> None:
    one = _decisions([_found(0, 100), _found()], [["ann", "bob"], []], ["ann", "Unknown", "bob"])
    # The first face is moved by a pixel and has another name, the second is missed, and there is a new one elsewhere.
    other = _decisions([_found(1), _found(50)], [["eve"], ["bob"]], ["ann", "bob", "bob"])
    found = compare(one, other)
    assert (found.faces, found.names, found.probes) == (Rate(2, 3), Rate(1, 1), Rate(1, 3))


def test_the_same_decisions_in_another_order_are_no_change() -> None:
    one = _decisions([_found(0, 100)], [["ann", "bob"]], ["ann"])
    other = _decisions([_found(100, 0)], [["bob", "ann"]], ["ann"])
    found = compare(one, other)
    assert (found.faces.hits, found.names.hits, found.probes.hits) == (0, 0, 0)


def test_names_are_those_of_the_nearest_from_the_threshold_on() -> None:
    gallery = np.array([[0, 1], [1, 0], [0.6, 0.8]], np.float32)
    faces = np.array([[0.8, 0.6], [1, 0], [0, -1], [0.28, 0.96]], np.float32)
    assert _names(faces, gallery, ["zoe", "ann", "zoe"], 0.965) == ["Unknown", "ann", "Unknown", "Unknown"]
    assert _names(faces, gallery, ["zoe", "ann", "zoe"], 0.9) == ["zoe", "ann", "Unknown", "zoe"]


def _changes(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", "changes", *map(str, arguments)])


@pytest.fixture
def sets(detection_set: Path, tmp_path: Path) -> tuple[object, ...]:
    """The demo's scenes; a gallery of one picture of each character, as many probes, and one of a stranger."""
    lines = (DEMO / "gallery" / "gallery.txt").read_text().splitlines()
    for name, some in (("gallery", lines[::3]), ("probe", [*lines[1::3], f"{lines[2].split()[0]} nobody-we-know"])):
        text = "".join(f"{DEMO / 'gallery' / line}\n" for line in some)
        (tmp_path / f"{name}.txt").write_text(text)
    return "--scenes", detection_set, "--gallery", tmp_path / "gallery.txt", "--probes", tmp_path / "probe.txt"


def test_forms_are_compared_on_the_demo(repository: Path, sets: tuple[object, ...]) -> None:
    done = _changes(repository, repository, *sets, "--every", 2, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    [same] = document["others"]
    assert document["place"] == same["place"] == str(repository)
    assert document["scenes"] == str(sets[1])
    assert (document["every"], document["split"], document["det_threshold"]) == (2, "val", 0.75)
    assert same["faces"]["of"] == same["names"]["of"] > 5
    assert (same["faces"]["hits"], same["names"]["hits"], same["probes"]["hits"]) == (0, 0, 0)
    assert (same["probes"]["of"], same["right"]) == (13, document["right"])
    # Nobody is named from a similarity of 1 on: strangers, of which there is one, are all that is right.
    strict = _changes(repository, repository, *sets, "--every", 2, "--rec-threshold", 1, "--json")
    assert json.loads(strict.stdout)["right"]["hits"] == 1
    shown = _changes(repository, repository, *sets, "--every", 2)
    assert "Changed decisions, beside" in shown.stdout


def test_paddle_is_compared_with_its_export(pipeline_file: Path, repository: Path, sets: tuple[object, ...]) -> None:
    done = _changes(pipeline_file, repository, *sets, "--every", 2, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    [exported] = document["others"]
    assert document["subject"] == "BlazeFace-FPN-SSH and MobileFaceNet, Paddle"
    assert document["right"]["hits"] > 10
    # Where the processor has bf16, a case or two near a threshold may change.
    for kind in ("faces", "names", "probes"):
        assert exported[kind]["of"] > 5
        assert exported[kind]["hits"] <= 2


def test_how_to_reach_a_server_is_refused_where_there_is_none(sets: tuple[object, ...]) -> None:
    done = _changes(MODELS / "face_recognition.yaml", "colour-histogram", *sets, "--tls")
    assert done.exit_code == 1
    assert "--tls changes nothing for forms none of which is a live server" in done.stderr


def test_a_single_model_is_refused(repository: Path, detection_set: Path) -> None:
    gallery = DEMO / "gallery" / "gallery.txt"
    lists = ("--scenes", detection_set, "--gallery", gallery, "--probes", gallery)
    done = _changes("colour-histogram", repository, *lists)
    assert done.exit_code == 1
    assert "is one model; recognition needs a detector and an embedder" in done.stderr


def test_a_single_model_is_refused_before_the_others_are_asked(
    detection_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_cli, "decide", None)
    gallery = DEMO / "gallery" / "gallery.txt"
    done = _changes(
        MODELS / "face_recognition.yaml",
        "colour-histogram",
        "--scenes",
        detection_set,
        "--gallery",
        gallery,
        "--probes",
        gallery,
    )
    assert done.exit_code == 1
    assert "is one model; recognition needs a detector and an embedder" in done.stderr
