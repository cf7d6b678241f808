"""FAISS indices that only grow, where what is gone is marked: graphs, codes in blocks, and whatever is on a GPU."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from typing import Any, Final

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from toonface_gallery.faiss_index import FaissIndex, ids_of
from toonface_gallery.id_rows import MarkedRows
from toonface_gallery.index import Alone, Encoded, Reader, Writer, deepen, read_array, write_array

# Its type stubs leave out half of it.
faiss: Any = typed_faiss

# A marked index is built anew when this share of its vectors is gone, since searches go through those too.
_WORN_SHARE: Final = 0.25

# Vectors that each thread takes up at once, while searches wait: a graph of 100,000 takes some 0.2 ms for each
# (benchmarks/README.md). FAISS uses several threads from a hundred vectors on.
_STEP: Final = 64


class MarkedIndex(FaissIndex):
    """An index that can only grow: `HNSW32`, `PQ64x4fs`, and whatever lies on a GPU. What is gone is marked.

    Searches go through what is marked and pass over it; once it is a quarter, the index is `worn`, to be built anew.
    """

    _deepest = sys.maxsize

    def _take(self, owner: Any) -> None:
        super()._take(owner)
        self._rows = MarkedRows()

    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """See FaceIndex. FAISS adds to these in one go, and not while they are searched."""
        vectors = self._transformed(vectors)
        first = len(self._rows.ids)
        step = _STEP * faiss.omp_get_max_threads()
        for start in range(0, len(vectors), step):
            with alone():
                self._take_up(vectors[start : start + step])
        return Encoded(vectors, first)

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self._rows.fill(encoded.prepared, ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        self._rows.remove(ids)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""

        def look(probes: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            scores, rows = self._find(probes, count)
            return scores, ids_of(rows, self._rows.ids)

        held = len(self._rows.ids)
        most = max(1, min(held, self._deepest))
        if k <= most and len(self._rows) == held:
            return look(vectors, k)
        return deepen(look, vectors, k, most, lambda ids: ids >= 0)

    def __len__(self) -> int:
        """See FaceIndex."""
        return len(self._rows)

    @property
    def worn(self) -> bool:
        """See FaceIndex."""
        held = len(self._rows.ids)
        return held - len(self._rows) > _WORN_SHARE * held

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        super().save(out)
        write_array(out, self._rows.ids)

    def restore(self, source: Reader) -> None:
        """See FaceIndex."""
        super().restore(source)
        self._rows = MarkedRows(read_array(source))

    def _find(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and rows of the nearest, those that are gone among them."""
        return super().search(vectors, k)

    def _take_up(self, vectors: NDArray[np.float32]) -> None:
        self._index.add(vectors)
        self._rows.reserve(len(vectors))


class GpuIndex(MarkedIndex):
    """An index on the first GPU. Those are not safe for several threads, not even to search, hence the lock.

    They can neither remove nor be given a selection, so removals are marked. What is saved is a copy on the CPU.
    """

    _deepest = 2048  # GPU indices look at no more (faiss.GpuIndex, getMaxKSelection)

    def __init__(self, factory: str, parameters: str, dimension: int, metric: str) -> None:
        """See FaissIndex."""
        self._resources = faiss.StandardGpuResources()
        self._alone = threading.RLock()
        super().__init__(factory, parameters, dimension, metric)

    def _take(self, owner: Any) -> None:
        super()._take(faiss.index_cpu_to_gpu(self._resources, 0, owner))

    def tune(self, parameters: str) -> None:
        """See FaissIndex."""
        faiss.GpuParameterSpace().set_index_parameters(self._owner, parameters)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""
        with self._alone:
            return super().search(vectors, k)

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        with self._alone:
            copy = faiss.index_gpu_to_cpu(self._owner)
        faiss.write_index(copy, faiss.PyCallbackIOWriter(out.write))
        write_array(out, self._rows.ids)

    def _take_up(self, vectors: NDArray[np.float32]) -> None:
        with self._alone:
            super()._take_up(vectors)


def gpu_is_there() -> bool:
    """Whether this FAISS is built for GPUs, and there is one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
