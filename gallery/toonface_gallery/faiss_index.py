"""FAISS indices, by the way in which they take removals: in place, or by marking what is gone."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from toonface_gallery.id_rows import DenseRows, IdTable
from toonface_gallery.index import Encoded, Reader, Writer, deepen, read_array, write_array

# Its type stubs leave out half of it.
faiss: Any = typed_faiss

# A marked index is built anew when this share of its vectors is gone, since searches go through those too.
_WORN_SHARE: Final = 0.25

# In place of the id of a row whose vector is gone.
_GONE: Final = -2

_METRICS: Final = {"IP": faiss.METRIC_INNER_PRODUCT, "L2": faiss.METRIC_L2}


class FaissIndex(ABC):
    """What the three kinds share: a FAISS index by its factory string, with transformations before it if it has any."""

    def __init__(self, factory: str, parameters: str, dimension: int, metric: str) -> None:
        """Make an empty index, to be trained if it needs to be.

        Args:
            factory: FAISS's factory string.
            parameters: of searches, as FAISS's ParameterSpace takes them; may be empty.
            dimension: D.
            metric: `IP` or `L2`.

        Raises:
            RuntimeError: FAISS does not understand the factory string or a parameter.
        """
        self._euclidean = metric == "L2"
        owner = faiss.index_factory(dimension, factory, _METRICS[metric])
        self._take(owner)
        if parameters:
            self.tune(parameters)

    def _take(self, owner: Any) -> None:
        self._owner = owner  # the other references do not keep it alive
        self._index = faiss.downcast_index(owner)
        self._transforms: list[Any] = []
        if isinstance(self._index, faiss.IndexPreTransform):
            chain = self._index.chain
            self._transforms = [faiss.downcast_VectorTransform(chain.at(place)) for place in range(chain.size())]
            self._index = faiss.downcast_index(self._index.index)

    def tune(self, parameters: str) -> None:
        """Set parameters of searches, as FAISS's ParameterSpace takes them, such as `nprobe=16`.

        Raises:
            RuntimeError: FAISS does not understand them.
        """
        faiss.ParameterSpace().set_index_parameters(self._owner, parameters)

    @property
    def trained(self) -> bool:
        """Whether vectors can be added."""
        return bool(self._owner.is_trained)

    def train(self, vectors: NDArray[np.float32]) -> None:
        """Learn from a sample of the vectors to come, FP32 [N,D]."""
        clustering = getattr(self._index, "cp", None)
        if clustering is not None:
            # FAISS's own 25 rounds take twice as long and find hardly more; it warns of fewer than 39 points for each
            # centroid, but goes on, and the plan sees to it that there are as many.
            clustering.niter = 10
            clustering.max_points_per_centroid = 64
        self._owner.train(vectors)

    def encode(self, vectors: NDArray[np.float32]) -> Encoded:
        """See FaceIndex."""
        return Encoded(self._transformed(vectors))

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex. Runs on the calling thread alone."""
        # FAISS would take a thread for each core, in each of the server's processes at once. The setting belongs to the
        # calling thread, and a new thread starts with the default, so it is made here and not once for all.
        faiss.omp_set_num_threads(1)
        scores, found = self._index.search(self._transformed(vectors), k)
        # For unit vectors the squared distance is 2 - 2 cos.
        return (np.float32(1) - scores / 2 if self._euclidean else scores), found

    @abstractmethod
    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""

    @abstractmethod
    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""

    @abstractmethod
    def __len__(self) -> int:
        """See FaceIndex."""

    @property
    def worn(self) -> bool:
        """See FaceIndex."""
        return False

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        faiss.write_index(self._owner, faiss.PyCallbackIOWriter(out.write))

    def restore(self, source: Reader) -> None:
        """See FaceIndex."""
        self._take(faiss.read_index(faiss.PyCallbackIOReader(source.read)))

    def _transformed(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        for transform in self._transforms:
            vectors = transform.apply(vectors)
        return np.ascontiguousarray(vectors, np.float32)


class FlatIndex(FaissIndex):
    """Codes in rows, all of which are looked at: `Flat`, `SQfp16`, `SQ8`, `PQ64` and such.

    FAISS's own remove_ids moves every row behind the first one removed, which takes 0.1 s at 200 MB. Here one from the
    end takes its place.
    """

    def _take(self, owner: Any) -> None:
        super()._take(owner)
        self._rows = DenseRows()

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self._index.add(encoded.vectors)
        self._rows.append(ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        holes, moved = self._rows.remove(ids)
        codes = faiss.rev_swig_ptr(self._index.codes.data(), self._index.codes.size())
        codes = codes.reshape(-1, self._index.code_size)
        codes[holes] = codes[moved]
        self._index.codes.resize(len(self._rows) * self._index.code_size)
        self._index.ntotal = len(self._rows)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""
        scores, rows = super().search(vectors, k)
        return scores, _ids_of(rows, self._rows.ids)

    def __len__(self) -> int:
        """See FaceIndex."""
        return len(self._rows)

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        super().save(out)
        write_array(out, self._rows.ids)

    def restore(self, source: Reader) -> None:
        """See FaceIndex."""
        super().restore(source)
        self._rows = DenseRows(read_array(source))


class ListIndex(FaissIndex):
    """Inverted lists, which keep the ids themselves: `IVF1024,Flat`, `IVF1024,SQfp16` and such.

    The ids go to FAISS as they are. IndexIDMap2 over an IVF index would return from remove_ids normally and be corrupt.
    """

    def _take(self, owner: Any) -> None:
        super()._take(owner)
        # Where each id is; without it, a removal looks through all lists.
        self._index.set_direct_map_type(faiss.DirectMap.Hashtable)

    def encode(self, vectors: NDArray[np.float32]) -> Encoded:
        """See FaceIndex. Finding the lists takes nearly all of the time."""
        vectors = self._transformed(vectors)
        _, lists = self._index.quantizer.search(vectors, 1)
        return Encoded(vectors, np.ascontiguousarray(lists[:, 0]))

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        ids = np.ascontiguousarray(ids)
        pointers = [faiss.swig_ptr(array) for array in (encoded.vectors, ids, encoded.prepared)]
        self._index.add_core(len(ids), *pointers)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        self._index.remove_ids(faiss.IDSelectorArray(np.ascontiguousarray(ids)))

    def __len__(self) -> int:
        """See FaceIndex."""
        return int(self._index.ntotal)


class MarkedIndex(FaissIndex):
    """An index that can only grow: `HNSW32`, `PQ64x4fs`, and whatever lies on a GPU. What is gone is marked.

    Searches go through what is marked and pass over it; once it is a quarter, the index is `worn`, to be built anew.
    """

    _deepest = sys.maxsize

    def _take(self, owner: Any) -> None:
        super()._take(owner)
        # The id of each row, or _GONE, and the rows of the ids that are not.
        self._ids = np.empty(0, np.int64)
        self._rows = IdTable()

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self._index.add(encoded.vectors)
        self._rows.set(ids, np.arange(len(self._ids), len(self._ids) + len(ids), dtype=np.int32))
        self._ids = np.concatenate([self._ids, ids])

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        self._ids[self._rows.get(ids)] = _GONE
        self._rows.remove(ids)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""

        def look(probes: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            scores, rows = FaissIndex.search(self, probes, count)
            return scores, _ids_of(rows, self._ids)

        if len(self._rows) == len(self._ids):
            return look(vectors, k)
        return deepen(look, vectors, k, min(len(self._ids), self._deepest), lambda ids: ids >= 0)

    def __len__(self) -> int:
        """See FaceIndex."""
        return len(self._rows)

    @property
    def worn(self) -> bool:
        """See FaceIndex."""
        return len(self._ids) - len(self._rows) > _WORN_SHARE * len(self._ids)

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        super().save(out)
        write_array(out, self._ids)

    def restore(self, source: Reader) -> None:
        """See FaceIndex."""
        super().restore(source)
        self._ids = read_array(source).copy()
        there = np.flatnonzero(self._ids != _GONE)
        self._rows.set(self._ids[there], there.astype(np.int32))


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

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        with self._alone:
            super().add(ids, encoded)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""
        with self._alone:
            return super().search(vectors, k)

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        with self._alone:
            faiss.write_index(faiss.index_gpu_to_cpu(self._owner), faiss.PyCallbackIOWriter(out.write))
            write_array(out, self._ids)


def gpu_is_there() -> bool:
    """Whether this FAISS is built for GPUs, and there is one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def kind_of(factory: str, dimension: int, metric: str) -> Callable[[str, str, int, str], FaissIndex]:
    """Which of the kinds serves a factory string.

    Raises:
        RuntimeError: FAISS does not understand it.
        ValueError: it is understood, but cannot take additions and give cosine similarities; the message says why.
    """
    owner = faiss.index_factory(dimension, factory, _METRICS[metric])
    index = faiss.downcast_index(owner)
    if isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    name = type(index).__name__
    if isinstance(index, faiss.IndexLSH):
        raise ValueError(f"{name} answers with Hamming distances")
    if isinstance(index, faiss.IndexHNSW | faiss.IndexFastScan | faiss.IndexIVFFastScan):
        return MarkedIndex
    if isinstance(index, faiss.IndexIVF):
        return ListIndex
    if isinstance(index, faiss.IndexFlatCodes):
        return FlatIndex
    raise ValueError(f"{name} is none that takes additions one by one under ids of ours")


def _ids_of(rows: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids of rows, -1 where there is no row."""
    if len(ids) == 0:
        return np.full(rows.shape, -1, np.int64)
    return np.where(rows == -1, np.int64(-1), ids[rows])
