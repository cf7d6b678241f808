"""Decisions that change from one form of the models to another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from evaluation_sets import DEMO

from toonface_client.cli import main
from toonface_training.evaluation.changes import Decisions, compare
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


def _changes(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", "changes", *map(str, arguments)])


def test_forms_are_compared_on_the_demo(repository: Path, detection_set: Path, tmp_path: Path) -> None:
    lines = (DEMO / "gallery" / "gallery.txt").read_text().splitlines()
    for name, some in (("gallery", lines[::3]), ("probe", [*lines[1::3], f"{lines[2].split()[0]} nobody-we-know"])):
        text = "".join(f"{DEMO / 'gallery' / line}\n" for line in some)
        (tmp_path / f"{name}.txt").write_text(text)
    sets = ("--scenes", detection_set, "--gallery", tmp_path / "gallery.txt", "--probes", tmp_path / "probe.txt")
    done = _changes(repository, repository, *sets, "--every", 2, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    [same] = document["others"]
    assert same["faces"]["of"] == same["names"]["of"] > 5
    assert (same["faces"]["hits"], same["names"]["hits"], same["probes"]["hits"]) == (0, 0, 0)
    assert (same["probes"]["of"], same["right"]) == (13, document["right"])
    # Nobody is named from a similarity of 1 on: strangers, of which there is one, are all that is right.
    strict = _changes(repository, repository, *sets, "--every", 2, "--rec-threshold", 1, "--json")
    assert json.loads(strict.stdout)["right"]["hits"] == 1
    shown = _changes(repository, repository, *sets, "--every", 2)
    assert "Changed decisions, beside" in shown.stdout


def test_a_single_model_is_refused(repository: Path, detection_set: Path) -> None:
    gallery = DEMO / "gallery" / "gallery.txt"
    lists = ("--scenes", detection_set, "--gallery", gallery, "--probes", gallery)
    done = _changes("colour-histogram", repository, *lists)
    assert done.exit_code == 1
    assert "is one model; recognition needs a detector and an embedder" in done.stderr
