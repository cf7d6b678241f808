"""One model on pictures: what a detector sees, drawn; what an embedder makes of faces, beside its nearest others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toonface_client.draw import draw_result
from toonface_client.results import Box, Face, Match, RecognitionResult
from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_training.evaluation.datasets import in_turn, read_picture
from toonface_training.evaluation.embedded import check_finite
from toonface_training.evaluation.metrics.detection import Detections
from toonface_training.evaluation.report.sheets import Tile, contact_sheet
from toonface_training.evaluation.subjects import Detector, Embedder, Pixels

FACE = "face"
MOST_TILES = 200

# Similarities that are in memory at once: 16 MB of them.
_AT_ONCE = 2**22
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
        embeddings: FP32 [N,D], of unit length.
        nearest: for each picture the position and the similarity of the most similar other one; None where it is alone.
    """

    paths: Sequence[Path]
    embeddings: NDArray[np.float32]
    nearest: Sequence[tuple[int, float] | None]

    @classmethod
    def of(cls, paths: Sequence[Path], embeddings: NDArray[np.float32]) -> Embedded:
        """Pictures and their embeddings, compared with one another."""
        nearest: list[tuple[int, float] | None] = [None] * len(paths)
        step = max(1, _AT_ONCE // max(1, len(paths)))
        for start in range(0, len(paths) if len(paths) > 1 else 0, step):
            similarities = embeddings[start : start + step] @ embeddings.T
            rows = np.arange(len(similarities))
            similarities[rows, start + rows] = -np.inf
            best = similarities.argmax(axis=1)
            nearest[start : start + step] = zip(best.tolist(), similarities[rows, best].tolist(), strict=True)
        return cls(paths, embeddings, nearest)

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON, one for each picture."""
        return [
            {
                "path": str(path),
                "embedding": embedding.tolist(),
                "nearest": near and {"path": str(self.paths[near[0]]), "similarity": round(near[1], _SCORE_DECIMALS)},
            }
            for path, embedding, near in zip(self.paths, self.embeddings, self.nearest, strict=True)
        ]

    def drawn(self) -> Image.Image:
        """A contact sheet: each of the first `MOST_TILES` pictures beside the one that is most similar.

        Raises:
            InvalidImage: one of them cannot be read any more.
        """
        tiles = []
        for path, near in zip(self.paths[:MOST_TILES], self.nearest, strict=False):
            if near is None:
                tiles.append(Tile([read_picture(path)], [path.name]))
                continue
            other, similarity = self.paths[near[0]], near[1]
            shown = [read_picture(path), read_picture(other)]
            tiles.append(Tile(shown, [path.name, other.name, f"similarity {similarity:.3f}"]))
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
        ToonfaceError: the embedder cannot answer, or not with finite numbers.
    """
    good: list[Path] = []
    failed: dict[Path, ToonfaceError] = {}

    def readable() -> Iterator[Pixels]:
        for path in paths:
            try:
                pixels = read_picture(path)
            except ToonfaceError as error:
                failed[path] = error
            else:
                good.append(path)
                yield pixels

    rows = list(in_turn(embedder.embed(readable()), good))
    check_finite(rows, good)
    return Embedded.of(good, np.stack(rows) if rows else np.zeros((0, 0), np.float32)), failed


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
