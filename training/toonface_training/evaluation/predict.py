"""One model on pictures: what a detector sees, drawn; what an embedder makes of faces, beside its nearest others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toonface_client.draw import draw_result
from toonface_client.results import Box, Face, Match, RecognitionResult
from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_training.evaluation.datasets import read_picture
from toonface_training.evaluation.metrics.detection import Detections
from toonface_training.evaluation.report.sheets import Tile, contact_sheet
from toonface_training.evaluation.subjects import Detector, Embedder, Pixels

FACE = "face"

_JPEG_QUALITY = 92
_SCORE_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Seen:
    """What a detector sees in one picture.

    Attributes:
        path: of the picture.
        pixels: UINT8 [H,W,3], RGB.
        found: boxes and scores.
    """

    path: Path
    pixels: Pixels
    found: Detections

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        height, width = self.pixels.shape[:2]
        faces = [
            {"box": Box(*box).as_dict(), "score": round(score, _SCORE_DECIMALS)}
            for box, score in zip(self.found.boxes.tolist(), self.found.scores.tolist(), strict=True)
        ]
        return {"path": str(self.path), "width": width, "height": height, "faces": faces}

    def drawn(self) -> Image.Image:
        """The picture with its boxes and scores."""
        height, width = self.pixels.shape[:2]
        faces = tuple(
            Face(Box(*box), score, FACE, (Match(0, FACE, score),))
            for box, score in zip(self.found.boxes.tolist(), self.found.scores.tolist(), strict=True)
        )
        return draw_result(self.pixels, RecognitionResult(faces, len(faces), width, height))


@dataclass(frozen=True, eq=False)
class Embedded:
    """Pictures of one face each, embedded.

    Attributes:
        paths: N pictures.
        pixels: of each, UINT8 [H,W,3], RGB.
        embeddings: FP32 [N,D], of unit length.
    """

    paths: Sequence[Path]
    pixels: Sequence[Pixels]
    embeddings: NDArray[np.float32]

    def nearest(self) -> list[tuple[int, float] | None]:
        """For each picture the most similar other one, as its position and the similarity; None where it is alone."""
        if len(self.paths) < 2:
            return [None] * len(self.paths)
        similarities = self.embeddings @ self.embeddings.T
        np.fill_diagonal(similarities, -np.inf)
        best = similarities.argmax(axis=1)
        return [(int(other), float(row[other])) for row, other in zip(similarities, best, strict=True)]

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON, one for each picture."""
        return [
            {
                "path": str(path),
                "embedding": embedding.tolist(),
                "nearest": near and {"path": str(self.paths[near[0]]), "similarity": round(near[1], _SCORE_DECIMALS)},
            }
            for path, embedding, near in zip(self.paths, self.embeddings, self.nearest(), strict=True)
        ]

    def drawn(self) -> Image.Image:
        """A contact sheet: each picture beside the one that is most similar."""
        tiles = []
        for position, near in enumerate(self.nearest()):
            other, similarity = near or (position, 1.0)
            tiles.append(
                Tile(
                    [self.pixels[position], self.pixels[other]],
                    [self.paths[position].name, self.paths[other].name, f"similarity {similarity:.3f}"],
                )
            )
        return contact_sheet(tiles)


def see(detector: Detector, path: Path, threshold: float) -> Seen:
    """Let a detector look at one picture; what scores above the threshold counts.

    Raises:
        ToonfaceError: the picture cannot be read, or the detector cannot answer.
    """
    pixels = read_picture(path)
    (found,) = detector.detect([pixels], threshold)
    return Seen(path, pixels, found)


def embed(embedder: Embedder, paths: Sequence[Path]) -> tuple[Embedded, dict[Path, ToonfaceError]]:
    """Embed pictures, each as one face.

    Returns:
        The pictures that could be read, and the errors of the others.

    Raises:
        ToonfaceError: the embedder cannot answer.
    """
    pictures: dict[Path, Pixels] = {}
    failed: dict[Path, ToonfaceError] = {}
    for path in paths:
        try:
            pictures[path] = read_picture(path)
        except ToonfaceError as error:
            failed[path] = error
    rows = list(embedder.embed(pictures.values()))
    return Embedded(
        list(pictures), list(pictures.values()), np.stack(rows) if rows else np.zeros((0, 0), np.float32)
    ), failed


def save(drawing: Image.Image, target: Path) -> None:
    """Write a drawing, as JPEG or PNG by the target's suffix.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        drawing.save(target, quality=_JPEG_QUALITY)
    except OSError as error:
        raise ConfigError(f"cannot save {str(target)!r}: {error.strerror or error}") from error
