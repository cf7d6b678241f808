"""Pictures of faces and their embeddings: each picture once, however many lists name it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonface_client.cli.gallery_list import ListedPicture
from toonface_contract.errors import InvalidRequest
from toonface_training.evaluation.datasets import in_turn, read_picture
from toonface_training.evaluation.subjects import Embedder
from toonface_training.evaluation.tracking import Track, silent


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of picture files.

    Attributes:
        rows: FP32 [N,D], of unit length.
        places: the row of each file.
    """

    rows: NDArray[np.float32]
    places: dict[Path, int]

    def of(self, paths: Iterable[Path]) -> NDArray[np.float32]:
        """FP32 [P,D], the embeddings of these files, in their order."""
        return self.rows[[self.places[path] for path in paths]]


def embed_files(
    embedder: Embedder, paths: Iterable[Path], track: Track = silent, *, mirrored: bool = False
) -> Embeddings:
    """Embed picture files, each as one face.

    Args:
        embedder: what embeds.
        paths: the files; those named twice are embedded once.
        track: told of each file.
        mirrored: exchange left and right first.

    Raises:
        ToonfaceError: a picture cannot be read, or the embedder cannot answer, or not with finite numbers.
    """
    places = {path: place for place, path in enumerate(dict.fromkeys(paths))}
    pictures = (read_picture(path) for path in places)
    turned = (np.ascontiguousarray(picture[:, ::-1]) for picture in pictures) if mirrored else pictures
    rows = list(
        track(
            in_turn(embedder.embed(turned), [*places]), len(places), "embed faces" + (", mirrored" if mirrored else "")
        )
    )
    check_finite(rows, places)
    return Embeddings(np.stack(rows), places)


def check_finite(embeddings: Iterable[NDArray[np.float32]], paths: Iterable[Path]) -> None:
    """Refuses what cannot be compared: nothing is more or less similar than NaN, so that it would pass for a stranger.

    Args:
        embeddings: FP32 [D] each, or [N,D] of several faces of one picture.
        paths: the picture of each.

    Raises:
        InvalidRequest: one is not finite; the message names its picture.
    """
    for embedding, path in zip(embeddings, paths, strict=True):
        if not np.isfinite(embedding).all():
            raise InvalidRequest(
                f"{path}: the model answers with an embedding of NaN or infinite numbers", code="invalid_embedding"
            )


class Numbering:
    """Numbers for names, in the order in which they are first asked for."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, names: Iterable[str]) -> NDArray[np.int64]:
        """INT64 [N], the number of each name."""
        return np.array([self._numbers.setdefault(name, len(self._numbers)) for name in names], np.int64)


def first_of_each(gallery: Sequence[ListedPicture], most: int | None) -> list[int]:
    """Positions of the first `most` pictures of each label, or of all of them."""
    seen: dict[str, int] = defaultdict(int)
    kept = []
    for position, picture in enumerate(gallery):
        seen[picture.label] += 1
        if most is None or seen[picture.label] <= most:
            kept.append(position)
    return kept
