"""Indices of unit vectors, searched by inner product, which is then the cosine similarity."""

from __future__ import annotations

from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray


class FaceIndex(Protocol):
    """Vectors under ids of the caller's. Searches may run side by side; a change must run alone."""

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add `vectors` FP32 [N,D], of unit length, under `ids` INT64 [N], none of which is in the index."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove the vectors of `ids` INT64 [N], all of which are in the index."""

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest vectors of each row of `vectors` FP32 [N,D], the most similar first.

        Args:
            vectors: of unit length; N may be 0.
            k: 1 or more.

        Returns:
            Scores FP32 [N,k], -1 to 1, and ids INT64 [N,k]. Where fewer than k are found, the row's last ids are -1.
        """

    def __len__(self) -> int:
        """Number of vectors."""


class FlatIndex:
    """Exact search through all vectors."""

    def __init__(self, dimension: int) -> None:
        """Make an empty index of vectors of this length."""
        # Not IndexIDMap2: over a flat index both remove rightly, but the latter also builds its map from id to row
        # anew at each removal, for a look-up that nobody makes here.
        self._index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """See FaceIndex."""
        self._index.add_with_ids(vectors, ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex. Takes one pass over all vectors, however few are removed."""
        self._index.remove_ids(faiss.IDSelectorBatch(ids))

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex. Runs on the calling thread alone."""
        # FAISS would take a thread for each core, in each of the server's processes at once. The setting belongs to the
        # calling thread, and a new thread starts with the default, so it is made here and not once for all.
        faiss.omp_set_num_threads(1)
        scores, ids = self._index.search(vectors, k)
        return scores, ids

    def __len__(self) -> int:
        """See FaceIndex."""
        return int(self._index.ntotal)
