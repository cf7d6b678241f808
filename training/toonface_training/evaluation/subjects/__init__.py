"""What is evaluated: a Paddle model, an exported graph, a live server, or a floor to stand above.

All of them answer through the same small protocols, on the same decoded pictures, so that a figure that differs between
two of them says something about the models and nothing about the evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonface_ensemble.crop import clip_boxes, crop_faces, has_pixels
from toonface_training.evaluation.metrics.detection import Detections

Pixels: TypeAlias = NDArray[np.uint8]
"""A decoded picture: UINT8 [H,W,3], RGB."""

# Detections that score no more than this are not looked at. PaddleX's own graphs cut at 0.01 (PicoDet: 0.025).
SCORE_FLOOR: Final = 0.01
# A server embeds, and so answers with, at most this many faces of a picture; see `Serving.embedding_batch`.
MOST_FACES: Final = 64


class Detector(Protocol):
    """Finds faces."""

    @property
    def name(self) -> str:
        """What is behind it, for tables."""

    def detect(self, pictures: Iterable[Pixels], threshold: float = SCORE_FLOOR) -> Iterator[Detections]:
        """The faces of each picture that score above the threshold, the `MOST_FACES` best of them.

        Boxes lie within the picture and hold at least one whole pixel.
        """


class Embedder(Protocol):
    """Turns pictures of one face each into embeddings."""

    @property
    def name(self) -> str:
        """What is behind it, for tables."""

    def embed(self, faces: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
        """The embedding of each picture, FP32 [D], of unit length. A picture of any size is the face."""


@dataclass(frozen=True, eq=False)
class EmbeddedFaces:
    """The faces of one picture, found and embedded.

    Attributes:
        found: N boxes and scores.
        embeddings: FP32 [N,D], of unit length.
    """

    found: Detections
    embeddings: NDArray[np.float32]


class Recogniser(Protocol):
    """Finds faces and embeds them, as the ensemble `face_features` does."""

    def find(self, pictures: Iterable[Pixels], threshold: float) -> Iterator[EmbeddedFaces]:
        """The faces of each picture that score above the threshold, the `MOST_FACES` best of them."""


@dataclass(frozen=True)
class Chained:
    """A detector and an embedder, one after the other."""

    detector: Detector
    embedder: Embedder

    def find(self, pictures: Iterable[Pixels], threshold: float) -> Iterator[EmbeddedFaces]:
        """See `Recogniser`."""
        for picture in pictures:
            (found,) = self.detector.detect([picture], threshold)
            yield _embedded(picture, found, self.embedder)


@dataclass(frozen=True)
class Remembered:
    """A recogniser for pictures whose faces were found before, in the same order; it only embeds."""

    found: Sequence[Detections]
    embedder: Embedder

    def find(self, pictures: Iterable[Pixels], threshold: float) -> Iterator[EmbeddedFaces]:
        """See `Recogniser`; the threshold must be no lower than it was then."""
        for picture, all_found in zip(pictures, self.found, strict=True):
            yield _embedded(picture, all_found.above(threshold), self.embedder)


def within_picture(boxes: NDArray[np.float32], scores: NDArray[np.float32], picture: Pixels) -> Detections:
    """What the stage `crop_align` keeps of chosen boxes: clipped, with pixels inside, at most `MOST_FACES`."""
    boxes = clip_boxes(boxes, *picture.shape[:2])
    kept = np.flatnonzero(has_pixels(boxes))[:MOST_FACES]
    return Detections(boxes[kept], scores[kept])


def face_crop(picture: Pixels) -> Pixels:
    """UINT8 [112,112,3]: a whole picture at the embedder's size, as the server treats gallery pictures."""
    height, width = picture.shape[:2]
    crop: Pixels = crop_faces(picture, np.array([[0, 0, width, height]], np.float32))[0]
    return crop


def _embedded(picture: Pixels, found: Detections, embedder: Embedder) -> EmbeddedFaces:
    embeddings = list(embedder.embed(crop_faces(picture, found.boxes)))
    return EmbeddedFaces(found, np.stack(embeddings) if embeddings else np.zeros((0, 0), np.float32))
