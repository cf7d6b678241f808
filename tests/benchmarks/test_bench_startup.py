"""What `toonface bench startup` takes for a right answer."""

from __future__ import annotations

from dataclasses import replace

from toonface_benchmarks.startup import same
from toonface_client import Box, Face, RecognitionResult

FACE = Face(Box(10, 10, 50, 60), 0.9, "Anna", ())


def _answer(*faces: Face) -> RecognitionResult:
    return RecognitionResult(faces, len(faces), 640, 480)


def test_an_answer_is_right_with_the_same_names_in_the_same_places() -> None:
    before = _answer(FACE)
    assert same(_answer(replace(FACE, box=Box(10.4, 10, 50, 59.6), detection_score=0.8)), before)
    assert not same(_answer(replace(FACE, label="Unknown")), before)
    assert not same(_answer(replace(FACE, box=Box(10, 10, 50, 61))), before)
    assert not same(_answer(), before)
    assert not same(_answer(FACE, FACE), before)
