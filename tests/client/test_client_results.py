"""Tensors to typed results, without a server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toonface_client.results import Box, Match, parse_features, parse_recognition
from toonface_contract.errors import ToonfaceError


def tensors(faces: int, rows: int, matches: int) -> dict[str, np.ndarray[Any, Any]]:
    """Answers as Triton's client gives them, with `rows` rows for `faces` faces."""
    return {
        "face_boxes": np.arange(faces * 4, dtype=np.float32).reshape(faces, 4),
        "face_scores": np.linspace(0.9, 0.7, faces, dtype=np.float32),
        "faces_found": np.array([faces + 3], np.int32),
        "image_size": np.array([480, 640], np.int32),
        "label": np.full((rows, 1), "Zoë".encode(), object),
        "labels": np.full((rows, matches), "Zoë".encode(), object),
        "scores": np.full((rows, matches), 0.5, np.float32),
        "ids": np.tile(np.arange(1, matches + 1, dtype=np.int64), (rows, 1)),
        "embedding": np.eye(rows, 8, dtype=np.float32),
    }


def test_faces_come_with_boxes_labels_and_ranked_matches() -> None:
    result = parse_recognition(tensors(2, 2, 3))
    assert (result.width, result.height, result.faces_found, result.cut) == (640, 480, 5, 3)
    second = result.faces[1]
    assert second.box == Box(4, 5, 6, 7)
    assert second.detection_score == pytest.approx(0.7)
    assert second.label == "Zoë"
    assert second.matches == (Match(1, "Zoë", 0.5), Match(2, "Zoë", 0.5), Match(3, "Zoë", 0.5))
    assert second.known
    assert second.score == 0.5


def test_the_blank_row_of_a_picture_without_faces_is_dropped() -> None:
    assert parse_recognition(tensors(0, 1, 3)).faces == ()
    features = parse_features(tensors(0, 1, 3))
    assert features.embeddings.shape == (0, 8)
    assert features.boxes.shape == (0, 4)


def test_padding_is_no_match() -> None:
    padded = tensors(1, 1, 4)
    padded["ids"][0, 2:] = -1
    assert [match.id for match in parse_recognition(padded).faces[0].matches] == [1, 2]


def test_an_empty_gallery_leaves_faces_without_a_score() -> None:
    empty = tensors(1, 1, 0) | {"label": np.array([[b"Unknown"]], object)}
    (face,) = parse_recognition(empty).faces
    assert not face.known
    assert face.score is None


def test_an_unknown_face_keeps_the_score_of_its_nearest_match() -> None:
    (face,) = parse_recognition(tensors(1, 1, 1) | {"label": np.array([[b"Unknown"]], object)}).faces
    assert not face.known
    assert face.score == 0.5


@pytest.mark.parametrize("parse", [parse_recognition, parse_features])
def test_a_missing_or_misshapen_tensor_is_named(parse: Any) -> None:
    answer = tensors(2, 2, 1)
    del answer["faces_found"]
    with pytest.raises(ToonfaceError, match="no tensor 'faces_found'"):
        parse(answer)
    with pytest.raises(ToonfaceError, match=r"'face_boxes' has the shape \[2, 5\], not \[-1, 4\]"):
        parse(tensors(2, 2, 1) | {"face_boxes": np.zeros((2, 5), np.float32)})


def test_dictionaries_round_to_what_the_models_can_tell_apart() -> None:
    answer = tensors(1, 1, 1)
    answer["face_boxes"][0] = [0.123456, 1, 2, 3]
    assert parse_recognition(answer).as_dict() == {
        "width": 640,
        "height": 480,
        "faces_found": 4,
        "cut": 3,
        "faces": [
            {
                "box": {"x1": 0.12, "y1": 1, "x2": 2, "y2": 3},
                "detection_score": 0.9,
                "label": "Zoë",
                "known": True,
                "matches": [{"id": 1, "label": "Zoë", "score": 0.5}],
            }
        ],
    }
    assert parse_features(answer).as_dict()["faces"][0]["embedding"] == [1, 0, 0, 0, 0, 0, 0, 0]
