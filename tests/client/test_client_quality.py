"""The quality gate of enrolments, without a server."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from toonface_client.enrolment import (
    Candidate,
    Enrolment,
    LabelledPicture,
    candidate,
    enrolled_duplicate,
    near_duplicates,
)
from toonface_client.quality import Measures, QualityGate, measure
from toonface_client.results import FeatureResult, Match
from toonface_contract.errors import ConfigError, InvalidImage, ToonfaceError

GOOD = Measures(120, 500, 0.9)


def drawing(side: int = 200) -> Image.Image:
    """Something with edges: random squares."""
    squares = np.random.default_rng(1).integers(0, 256, (12, 12), np.uint8)
    return Image.fromarray(squares).resize((side, side), Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def features(faces: int, score: float = 0.9, box: tuple[float, ...] = (0, 0, 200, 200)) -> FeatureResult:
    return FeatureResult(
        boxes=np.tile(np.array(box, np.float32), (faces, 1)),
        detection_scores=np.full(faces, score, np.float32),
        embeddings=np.eye(4, dtype=np.float32)[:faces],
        faces_found=faces,
        width=200,
        height=200,
    )


def test_blur_lowers_the_sharpness_and_the_quality() -> None:
    box = np.array([0, 0, 200, 200], np.float32)
    seen = [measure(encoded(drawing().filter(ImageFilter.GaussianBlur(radius))), box, None) for radius in (0, 2, 4, 8)]
    sharpness = [each.sharpness for each in seen]
    assert sharpness == sorted(sharpness, reverse=True)
    QualityGate().check(seen[0])
    with pytest.raises(InvalidImage, match="sharpness") as refused:
        QualityGate().check(seen[-1])
    assert refused.value.code == "face_blurred"
    assert seen[0].quality == 1.0 > seen[-1].quality


def test_only_the_face_is_measured_and_upright() -> None:
    canvas = Image.new("L", (400, 300), 128)
    canvas.paste(drawing(100), (0, 0))
    turned = encoded(canvas.rotate(90, expand=True), "JPEG", quality=95, exif=_orientation(6))
    face, elsewhere = np.array([0, 0, 100, 100], np.float32), np.array([200, 100, 300, 200], np.float32)
    assert measure(encoded(canvas), face, 0.5).sharpness > 1000
    assert measure(encoded(canvas), elsewhere, 0.5).sharpness == 0
    assert measure(turned, face, 0.5).sharpness > 1000
    assert measure(turned, elsewhere, 0.5).sharpness < 10


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize(
    ("measures", "code"),
    [
        (Measures(31.9, 500, 0.9), "face_too_small"),
        (Measures(32, 19, 0.9), "face_blurred"),
        (Measures(32, 20, 0.69), "face_uncertain"),
        (Measures(32, 20, 0.7), None),
        (Measures(32, 20, None), None),
    ],
)
def test_the_default_bounds(measures: Measures, code: str | None) -> None:
    if code is None:
        QualityGate().check(measures)
    else:
        with pytest.raises(InvalidImage) as refused:
            QualityGate().check(measures)
        assert refused.value.code == code
    QualityGate(None, None, None, None).check(measures)


@pytest.mark.parametrize(
    "bounds", [{"min_side": -1}, {"min_sharpness": -1}, {"min_detection_score": 1.1}, {"max_similarity": -2}]
)
def test_impossible_bounds_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bounds))):
        QualityGate(**bounds)


@pytest.mark.parametrize(("faces", "code"), [(0, "no_face"), (2, "several_faces")])
def test_a_picture_shows_one_face(faces: int, code: str) -> None:
    with pytest.raises(InvalidImage) as refused:
        candidate(encoded(drawing()), features(faces), "faces", None)
    assert refused.value.code == code


def test_a_whole_picture_has_no_detection_score() -> None:
    gate = QualityGate(min_detection_score=0.95)
    assert candidate(encoded(drawing()), features(1), "whole", gate).measures.detection_score is None
    with pytest.raises(InvalidImage, match="not sure"):
        candidate(encoded(drawing()), features(1), "faces", gate)


def test_near_duplicates_are_the_later_ones_of_other_labels() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((3000, 32)).astype(np.float32)  # more than a block
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = [f"label {number}" for number in range(3000)]
    embeddings[2500] = embeddings[10]  # across blocks
    embeddings[20] = embeddings[10]  # within one
    embeddings[2600], labels[2600] = embeddings[10], labels[10]  # the same label
    embeddings[30] = embeddings[10]
    embeddings[31] = -embeddings[10]
    found = near_duplicates(embeddings, labels, 0.99)
    assert {row: other for row, (other, _) in found.items()} == {20: 10, 30: 10, 2500: 10}
    assert all(similarity == pytest.approx(1) for _, similarity in found.values())


def test_nobody_is_refused_for_the_sake_of_a_refused_picture() -> None:
    """0 and 1 are alike, and 1 and 2, but not 0 and 2."""
    angles = np.deg2rad([0, 15, 30])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = near_duplicates(embeddings, ["a", "b", "c"], float(np.cos(np.deg2rad(20))))
    assert list(found) == [1]
    assert near_duplicates(np.empty((0, 2), np.float32), [], 0.9) == {}


def test_an_enrolment_compares_with_the_pictures_before_and_with_the_gallery() -> None:
    enrolment = Enrolment(QualityGate())
    eye = np.eye(4, dtype=np.float32)
    for label, row in (("Ada", eye[0]), ("Eve", eye[0]), ("Ada", eye[0]), ("Noor", eye[1])):
        enrolment.add(LabelledPicture(b"", label, f"{label}.png"), Candidate(row, GOOD))
    enrolment.add(LabelledPicture(b"", "Bob"), ToonfaceError("gone"))
    enrolment.compare()
    assert enrolment.probes is not None
    np.testing.assert_array_equal(enrolment.probes, eye[[0, 0, 1]])
    ada, zoe = Match(1, "Ada", 0.99), Match(2, "Zoe", 0.96)
    enrolment.compare_enrolled([(ada,), (ada,), (zoe,)])
    report = enrolment.report(None)
    errors = [each.error for each in report.pictures]
    assert [error and error.code for error in errors] == [None, "near_duplicate", None, "near_duplicate", "internal"]
    assert "'Ada' (Ada.png)" in str(errors[1])
    assert "'Zoe' (enrolled, id 2)" in str(errors[3])
    assert (report.enrolled, report.failed) == (2, 3)
    assert report.pictures[0].measures == GOOD
    document = report.as_dict()["pictures"]
    assert document[0]["measures"] == {"side": 120, "sharpness": 500, "detection_score": 0.9, "quality": 0.9}
    assert document[4]["measures"] is None


def test_an_enrolled_face_is_compared_with_the_nearest_of_another_label() -> None:
    own, other = Match(1, "Ada", 0.99), Match(2, "Zoe", 0.96)
    error = enrolled_duplicate([own, other], "Ada", 0.95)
    assert error is not None and "'Zoe' (enrolled, id 2), by its similarity of 0.960; under 0.95" in error.message
    assert enrolled_duplicate([own, other], "Ada", 0.97) is None
    assert enrolled_duplicate([own, other], "Ada", None) is None
    assert enrolled_duplicate([own], "Ada", 0.95) is None


def test_without_a_bound_nothing_is_compared() -> None:
    enrolment = Enrolment(QualityGate(max_similarity=None))
    for label in ("Ada", "Eve"):
        enrolment.add(LabelledPicture(b"", label), Candidate(np.eye(4, dtype=np.float32)[0], GOOD))
    enrolment.compare()
    assert enrolment.probes is None
    assert enrolment.report(None).enrolled == 2
