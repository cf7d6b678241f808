"""Codes in blocks, in several parts that threads look through side by side."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from toonface_gallery.faiss_marked import MarkedIndex
from toonface_gallery.index import Reader, Writer

# Its type stubs leave out half of it.
faiss: Any = typed_faiss

# Rows go to the parts in turn, so many at once: a part is then as long as another, and rows need no table.
_BLOCK: Final = 1 << 15

# They wait for FAISS alone, which lets other threads of Python go on meanwhile.
_THREADS: Final = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="gallery-part")


class PartedIndex(MarkedIndex):
    """An index such as `PQ64x4fs` in parts. FAISS looks through one with one thread, however long it is.

    A single search so takes as many cores as there are parts, where they have nothing else to do; benchmarks/README.md
    has what that is worth at a million faces.
    """

    def __init__(self, parts: int, factory: str, parameters: str, dimension: int, metric: str) -> None:
        """Make an empty one of 2 parts or more; see FaissIndex."""
        self._count = parts
        super().__init__(factory, parameters, dimension, metric)

    def _take(self, owner: Any) -> None:
        super()._take(owner)
        # The first is `_index` itself. Parts begin as copies of it, once it is trained.
        self._parts: list[Any] = [self._index]

    def train(self, vectors: NDArray[np.float32]) -> None:
        """See FaissIndex."""
        super().train(vectors)
        self._parts = [self._index, *(faiss.clone_index(self._index) for _ in range(self._count - 1))]

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        super().save(out)
        for part in self._parts[1:]:
            faiss.write_index(part, faiss.PyCallbackIOWriter(out.write))

    def restore(self, source: Reader) -> None:
        """See FaceIndex."""
        super().restore(source)
        others = (faiss.read_index(faiss.PyCallbackIOReader(source.read)) for _ in range(self._count - 1))
        self._parts = [self._index, *others]

    def _find(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        vectors = self._transformed(vectors)
        waiting = [_THREADS.submit(self._find_in, part, vectors, k) for part in range(1, self._count)]
        found = [self._find_in(0, vectors, k), *(each.result() for each in waiting)]
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        rows = np.concatenate([rows for _, rows in found], axis=1)
        scores[rows == -1] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def _find_in(
        self, part: int, vectors: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores, found = self._look(self._parts[part], vectors, k)
        rows = (found // _BLOCK * self._count + part) * _BLOCK + found % _BLOCK
        return scores, np.where(found == -1, np.int64(-1), rows)

    def _take_up(self, vectors: NDArray[np.float32]) -> None:
        first = len(self._rows.ids)
        while len(vectors):
            block, taken = divmod(first, _BLOCK)
            portion, vectors = np.split(vectors, [_BLOCK - taken])
            self._parts[block % self._count].add(np.ascontiguousarray(portion))
            first += len(portion)
            self._rows.reserve(len(portion))
