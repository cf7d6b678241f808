from pathlib import Path

import pytest
from truth import Picture, TrueFace, compare, overlap, read_pictures

from toonface_client import Box, Face, RecognitionResult

DEMO = Path(__file__).resolve().parents[2] / "demo"


def picture(*faces: tuple[str, Box]) -> Picture:
    return Picture(Path("picture.jpg"), 400, 300, tuple(TrueFace(label, box) for label, box in faces))


def answer(*faces: tuple[str, Box]) -> RecognitionResult:
    found = tuple(Face(box, 0.9, label, ()) for label, box in faces)
    return RecognitionResult(found, len(found), 400, 300)


LEFT, RIGHT = Box(10, 10, 110, 110), Box(200, 10, 300, 110)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(LEFT, LEFT) == 1
    assert overlap(LEFT, Box(60, 10, 160, 110)) == pytest.approx(1 / 3)
    assert overlap(LEFT, RIGHT) == 0


def test_right_answers_in_any_order_are_right() -> None:
    findings = compare(picture(("Zoë", LEFT), ("Миша", RIGHT)), answer(("Миша", RIGHT), ("Zoë", Box(15, 12, 108, 112))))
    assert [finding.right for finding in findings] == [True, True]
    assert [finding.found.label for finding in findings if finding.found] == ["Zoë", "Миша"]


def test_a_wrong_name_a_missed_face_and_a_face_that_is_none_are_wrong() -> None:
    assert [f.right for f in compare(picture(("Zoë", LEFT)), answer(("Миша", LEFT)))] == [False]
    (missed,) = compare(picture(("Zoë", LEFT)), answer())
    assert missed.found is None
    assert not missed.right
    (extra,) = compare(picture(), answer(("Unknown", LEFT)))
    assert extra.truth is None
    assert not extra.right


def test_the_right_name_in_the_wrong_place_is_wrong() -> None:
    assert [f.right for f in compare(picture(("Zoë", LEFT)), answer(("Zoë", RIGHT)))] == [False, False]


def test_two_answers_for_one_face_are_one_too_many() -> None:
    findings = compare(picture(("Zoë", LEFT)), answer(("Zoë", Box(20, 10, 120, 110)), ("Zoë", LEFT)))
    assert [finding.right for finding in findings] == [True, False]
    assert findings[0].overlap == 1


def test_a_picture_taken_for_one_of_another_size_is_refused() -> None:
    lying = RecognitionResult((), 0, 300, 400)
    with pytest.raises(ValueError, match="is 400 x 300, and was taken for 300 x 400"):
        compare(picture(), lying)


def test_every_picture_of_the_demo_has_its_file() -> None:
    pictures = read_pictures(DEMO)
    assert len(pictures) >= 6
    assert all(each.path.is_file() for each in pictures)
