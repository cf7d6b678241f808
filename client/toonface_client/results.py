"""What the server answers, as typed values, and how they are read from its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ToonfaceError
from toonface_contract.names import UNKNOWN_LABEL

Tensors: TypeAlias = Mapping[str, NDArray[Any]]

# Decimals in JSON: hundredths of a pixel and millionths of a similarity are below what the models can tell apart.
_PIXEL_DECIMALS = 2
_SCORE_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Box:
    """Corners of a face in pixels of the upright picture: x to the right, y down, x1 <= x2, y1 <= y2."""

    x1: float
    y1: float
    x2: float
    y2: float

    def as_dict(self) -> dict[str, float]:
        """The corners by name, for JSON."""
        return {
            name: round(value, _PIXEL_DECIMALS)
            for name, value in (("x1", self.x1), ("y1", self.y1), ("x2", self.x2), ("y2", self.y2))
        }


@dataclass(frozen=True, slots=True)
class Match:
    """One enrolled face: its id in the gallery, its label, and its similarity (inner product of unit vectors)."""

    id: int
    label: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        """The match for JSON."""
        return {"id": self.id, "label": self.label, "score": round(self.score, _SCORE_DECIMALS)}


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a picture, and who it is.

    Attributes:
        box: where the face is.
        detection_score: how sure the detector is, 0 to 1.
        label: the decision: the best match's label, or `Unknown`.
        matches: the nearest enrolled faces, best first; empty when the gallery is empty.
    """

    box: Box
    detection_score: float
    label: str
    matches: tuple[Match, ...]

    @property
    def known(self) -> bool:
        """Whether the face got a name."""
        return self.label != UNKNOWN_LABEL

    @property
    def score(self) -> float | None:
        """Similarity of the best match, for an unknown face too; None when the gallery is empty."""
        return self.matches[0].score if self.matches else None

    def as_dict(self) -> dict[str, Any]:
        """The face for JSON."""
        return {
            "box": self.box.as_dict(),
            "detection_score": round(self.detection_score, _SCORE_DECIMALS),
            "label": self.label,
            "known": self.known,
            "matches": [match.as_dict() for match in self.matches],
        }


@dataclass(frozen=True, slots=True)
class RecognitionResult:
    """Who is in one picture.

    Attributes:
        faces: in the order of their detection scores, falling.
        faces_found: faces over the detection threshold, those left out included.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
    """

    faces: tuple[Face, ...]
    faces_found: int
    width: int
    height: int

    @property
    def cut(self) -> int:
        """Faces that were found but left out, because of `max_faces` or the embedder's largest batch."""
        return self.faces_found - len(self.faces)

    def as_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "width": self.width,
            "height": self.height,
            "faces_found": self.faces_found,
            "cut": self.cut,
            "faces": [face.as_dict() for face in self.faces],
        }


@dataclass(frozen=True, slots=True, eq=False)
class FeatureResult:
    """Faces of one picture as embeddings. F faces, embeddings of length D.

    Attributes:
        boxes: FP32 [F, 4], x1, y1, x2, y2 in pixels of the upright picture.
        detection_scores: FP32 [F], 0 to 1, falling.
        embeddings: FP32 [F, D], rows of unit length.
        faces_found: faces over the detection threshold, those left out included.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
    """

    boxes: NDArray[np.float32]
    detection_scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    faces_found: int
    width: int
    height: int

    def as_dict(self) -> dict[str, Any]:
        """The result for JSON; embeddings are lists of numbers."""
        return {
            "width": self.width,
            "height": self.height,
            "faces_found": self.faces_found,
            "faces": [
                {
                    "box": Box(*box).as_dict(),
                    "detection_score": round(score, _SCORE_DECIMALS),
                    "embedding": embedding,
                }
                for box, score, embedding in zip(
                    self.boxes.tolist(), self.detection_scores.tolist(), self.embeddings.tolist(), strict=True
                )
            ],
        }


def parse_recognition(tensors: Tensors) -> RecognitionResult:
    """Reads the outputs of `face_recognition`.

    Args:
        tensors: `face_boxes` FP32 [F, 4], `face_scores` FP32 [F], `faces_found` INT32 [1], `image_size` INT32 [2]
            (height, width), `label` BYTES [R, 1], `labels` BYTES [R, K], `scores` FP32 [R, K] and `ids` INT64 [R, K].
            Rows beyond F are dropped, and so are matches with id -1.

    Raises:
        ToonfaceError: a tensor is missing or does not fit the others.
    """
    boxes = _tensor(tensors, "face_boxes", (-1, 4)).tolist()
    ids, labels, scores = (_rows(tensors, name, len(boxes)) for name in ("ids", "labels", "scores"))
    rows = zip(
        boxes,
        _tensor(tensors, "face_scores", (len(boxes),)).tolist(),
        _rows(tensors, "label", len(boxes)).tolist(),
        _matches(ids.tolist(), labels, scores),
        strict=True,
    )
    faces = tuple(
        Face(box=Box(*box), detection_score=detection_score, label=_text(label[0]), matches=matches)
        for box, detection_score, label, matches in rows
    )
    height, width = _tensor(tensors, "image_size", (2,)).tolist()
    return RecognitionResult(faces=faces, faces_found=_found(tensors), width=width, height=height)


def parse_matches(tensors: Tensors) -> list[tuple[Match, ...]]:
    """Reads the outputs of `gallery_search`: the matches of each of N embeddings, best first.

    Args:
        tensors: `labels` BYTES [N, K], `scores` FP32 [N, K] and `ids` INT64 [N, K]; matches with id -1 are dropped.

    Raises:
        ToonfaceError: a tensor is missing or does not fit the others.
    """
    ids = _tensor(tensors, "ids", (-1, -1))
    return _matches(ids.tolist(), _tensor(tensors, "labels", ids.shape), _tensor(tensors, "scores", ids.shape))


def parse_features(tensors: Tensors) -> FeatureResult:
    """Reads the outputs of `face_features`.

    Args:
        tensors: as for `parse_recognition`, with `embedding` FP32 [R, D] in place of labels, scores and ids. Rows
            beyond F are dropped.

    Raises:
        ToonfaceError: a tensor is missing or does not fit the others.
    """
    boxes = _tensor(tensors, "face_boxes", (-1, 4))
    height, width = _tensor(tensors, "image_size", (2,)).tolist()
    return FeatureResult(
        boxes=boxes,
        detection_scores=_tensor(tensors, "face_scores", (len(boxes),)),
        embeddings=_tensor(tensors, "embedding", (-1, -1))[: len(boxes)],
        faces_found=_found(tensors),
        width=width,
        height=height,
    )


def _found(tensors: Tensors) -> int:
    return int(_tensor(tensors, "faces_found", (1,))[0])


def _rows(tensors: Tensors, name: str, faces: int) -> NDArray[Any]:
    return _tensor(tensors, name, (-1, -1))[:faces]


def _matches(ids: list[list[int]], labels: NDArray[Any], scores: NDArray[Any]) -> list[tuple[Match, ...]]:
    """The matches of each row, without the entries to ignore."""
    return [
        tuple(
            Match(id=match_id, label=_text(name), score=score)
            for match_id, name, score in zip(*row, strict=True)
            if match_id != -1
        )
        for row in zip(ids, labels.tolist(), scores.tolist(), strict=True)
    ]


def _tensor(tensors: Tensors, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The tensor, whose shape is `shape`; -1 stands for any size."""
    if name not in tensors:
        raise ToonfaceError(f"the server's answer has no tensor {name!r}; it has {', '.join(sorted(tensors))}")
    tensor = tensors[name]
    if len(tensor.shape) != len(shape) or any(
        want not in (-1, got) for want, got in zip(shape, tensor.shape, strict=True)
    ):
        raise ToonfaceError(f"the server's tensor {name!r} has the shape {list(tensor.shape)}, not {list(shape)}")
    return tensor


def _text(label: bytes) -> str:
    return label.decode("utf-8", errors="replace")
