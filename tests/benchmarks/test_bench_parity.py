from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from toonface_benchmarks.parity import Answer, Differences, matched, same_order

ROOT = Path(__file__).resolve().parents[2]

ANNA = Answer((10, 10, 50, 60), 0.9, "Anna", ("Anna", "Bert", "Carl"), (0.8, 0.5, 0.4))
BERT = Answer((100, 10, 150, 60), 0.8, "Bert", ("Bert", "Anna", "Carl"), (0.7, 0.3, 0.2))


def _differences(mine: list[Answer], theirs: list[Answer]) -> Differences:
    found = Differences()
    found.add("picture", mine, theirs)
    return found


def test_the_same_answers_in_another_order_are_equal() -> None:
    found = _differences([BERT, ANNA], [ANNA, BERT])
    assert found.equal
    assert (found.faces, found.decisions) == (2, 0)


def test_no_faces_on_both_sides_are_equal() -> None:
    assert _differences([], []).equal


@pytest.mark.parametrize(
    "other",
    [
        replace(ANNA, box=(10, 10, 50.6, 60)),
        replace(ANNA, score=0.902),
        replace(ANNA, scores=(0.8, 0.502, 0.4)),
        replace(ANNA, label="Unknown"),
        replace(ANNA, ranks=("Anna", "Carl", "Bert")),
        replace(ANNA, ranks=("Anna", "Bert"), scores=(0.8, 0.5)),
        replace(ANNA, box=(40, 40, 90, 90)),
    ],
)
def test_whatever_must_be_equal_is_looked_at(other: Answer) -> None:
    assert not _differences([other], [ANNA]).equal


def test_what_is_within_the_bounds_is_equal() -> None:
    near = replace(ANNA, box=(10.4, 10, 50, 59.6), score=0.9005, scores=(0.8, 0.5005, 0.4))
    assert _differences([near], [ANNA]).equal


def test_lost_added_and_renamed_faces_are_changed_decisions() -> None:
    stranger = replace(BERT, box=(300, 300, 350, 350))
    found = _differences([replace(ANNA, label="Unknown"), stranger], [ANNA, BERT])
    assert (found.lost, found.added, found.labels, found.decisions) == (1, 1, 1, 3)
    assert len(found.where) == 3


def test_a_side_that_ranks_nobody_ranks_otherwise() -> None:
    found = _differences([replace(ANNA, ranks=(), scores=())], [ANNA])
    assert (found.ranks, found.similarity, found.equal) == (1, 0.0, False)
    nobody = replace(ANNA, label="Unknown", ranks=(), scores=())
    assert _differences([nobody], [nobody]).equal


def test_ties_may_stand_in_either_order() -> None:
    tied = replace(ANNA, scores=(0.8, 0.5004, 0.5))
    assert same_order(replace(tied, ranks=("Anna", "Carl", "Bert")), tied)
    assert not same_order(replace(tied, ranks=("Bert", "Anna", "Carl")), tied)


def test_faces_are_paired_by_their_greatest_overlap() -> None:
    shifted = replace(ANNA, box=(12, 10, 52, 60))
    pairs, lost, added = matched([ANNA, shifted], [shifted])
    assert pairs == [(shifted, shifted)]
    assert (lost, added) == ([], [ANNA])


@pytest.mark.slow
def test_f32_answers_as_paddlex_does() -> None:
    command = [Path(sys.executable).with_name("toonface"), "bench", "parity", "--count", "4", "--json"]
    done = subprocess.run([*command, "--cache", ROOT / "build"], check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)["f32"]
    assert found["equal"]
    assert found["faces"] > 10
