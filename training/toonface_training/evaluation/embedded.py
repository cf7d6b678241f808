"""Pictures of faces and their embeddings: each picture once, however many lists name it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonface_client.cli.gallery_list import ListedPicture
from toonface_training.evaluation.datasets import read_picture
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
        ToonfaceError: a picture cannot be read, or the embedder cannot answer.
    """
    places = {path: place for place, path in enumerate(dict.fromkeys(paths))}
    pictures = (read_picture(path) for path in places)
    turned = (np.ascontiguousarray(picture[:, ::-1]) for picture in pictures) if mirrored else pictures
    rows = list(track(embedder.embed(turned), len(places), "embed faces" + (", mirrored" if mirrored else "")))
    return Embeddings(np.stack(rows), places)


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
