"""Embeddings as a face embedder makes them, from a seed: many pictures an identity, and identities that are alike."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

PICTURES_EACH: Final = 20

# Identities come in styles, as cartoons do; two of one style have a similarity of 0.25 on average, others of 0.
_STYLES: Final = 64
_STYLE_SHARE: Final = 0.5

# How far pictures are from their identity: the tangent of the angle, from a good picture to a bad one. Two pictures of
# one identity then have a similarity of 0.5 on average.
_SPREAD: Final = (0.6, 1.4)

_CHUNK: Final = 50_000


class MadeUpFaces:
    """N embeddings FP32 [N,D] of unit length, in chunks; the same ones each time."""

    def __init__(self, count: int, dimension: int) -> None:
        """Prepare.

        Args:
            count: N.
            dimension: D.
        """
        self.count = count
        self.dimension = dimension
        random = np.random.default_rng(count)
        styles = _unit(random.standard_normal((_STYLES, dimension), np.float32))
        own = _unit(random.standard_normal((max(1, count // PICTURES_EACH), dimension), np.float32))
        style = styles[random.integers(0, _STYLES, len(own))]
        self._identities = _unit(_STYLE_SHARE * style + np.float32(np.sqrt(1 - _STYLE_SHARE**2)) * own)

    def chunks(self) -> list[NDArray[np.int64]]:
        """The faces' numbers, 0 to N-1, in portions."""
        return [
            np.arange(start, min(start + _CHUNK, self.count), dtype=np.int64) for start in range(0, self.count, _CHUNK)
        ]

    def labels(self, faces: NDArray[np.int64]) -> list[str]:
        """The labels of some faces."""
        return [f"person {number}" for number in (faces % len(self._identities)).tolist()]

    def embeddings(self, faces: NDArray[np.int64]) -> NDArray[np.float32]:
        """The embeddings of one of the `chunks`."""
        return self._pictures(faces % len(self._identities), seed=1 + int(faces[0]))

    def probes(self, count: int) -> NDArray[np.float32]:
        """Pictures that are not among the faces, of people who are: FP32 [count,D]."""
        people = np.random.default_rng(7).integers(0, len(self._identities), count)
        return self._pictures(people, seed=0)

    def _pictures(self, people: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
        random = np.random.default_rng((self.count, seed))
        directions = _unit(random.standard_normal((len(people), self.dimension), np.float32))
        spread = random.uniform(*_SPREAD, (len(people), 1)).astype(np.float32)
        return _unit(self._identities[people] + spread * directions)


def nearest(faces: MadeUpFaces, probes: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The numbers of the k nearest faces of each probe, by exact search: INT64 [N,k]."""
    scores = np.empty((len(probes), 0), np.float32)
    numbers = np.empty((len(probes), 0), np.int64)
    for chunk in faces.chunks():
        scores = np.concatenate([scores, probes @ faces.embeddings(chunk).T], axis=1)
        numbers = np.concatenate([numbers, np.broadcast_to(chunk, (len(probes), len(chunk)))], axis=1)
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, numbers = np.take_along_axis(scores, best, 1), np.take_along_axis(numbers, best, 1)
    return np.take_along_axis(numbers, np.argsort(-scores, axis=1), 1)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
