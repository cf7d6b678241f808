"""What all FAISS indices of faces share, whatever their way to take removals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import Any, Final

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from toonface_gallery.index import Alone, Encoded, Reader, Writer

# Its type stubs leave out half of it.
faiss: Any = typed_faiss

# FAISS's name of each metric.
METRICS: Final = {"IP": faiss.METRIC_INNER_PRODUCT, "L2": faiss.METRIC_L2}


class FaissIndex(ABC):
    """A FAISS index by its factory string, with transformations before it if it has any."""

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
        owner = faiss.index_factory(dimension, factory, METRICS[metric])
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
        if isinstance(self._index, faiss.IndexIVF):
            coarse = faiss.downcast_index(self._index.quantizer)
            if isinstance(coarse, faiss.IndexFastScan):
                # For what `_look` says of codes in blocks. Here FAISS makes the array itself; these ways don't read it.
                coarse.implem = 13 if coarse.bbs == 32 else 15

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

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex. Runs on the calling thread alone."""
        return self._look(self._index, self._transformed(vectors), k)

    @abstractmethod
    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """See FaceIndex."""

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

    def _look(
        self, index: Any, transformed: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What one of FAISS's indices finds, on the calling thread alone: similarities FP32 [N,k], and INT64 [N,k]."""
        # FAISS would take a thread for each core, in each of the server's processes at once. The setting belongs to the
        # calling thread, and a new thread starts with the default, so it is made here and not once for all.
        faiss.omp_set_num_threads(1)
        # Asked for 2 to 20, codes in blocks (`x4fs`) begin with a score to surpass, which FAISS 1.15.1 reads from the
        # array that it is to write to (HeapHandler::threshold_idis), by default memory as it was allocated. Where that
        # holds the best of all floats, with which searches by the other metric pad what they find, some queries find
        # nothing. The worst of all floats lets everything pass.
        worst = np.finfo(np.float32).max if self._euclidean else np.finfo(np.float32).min
        scores, found = index.search(transformed, k, D=np.full((len(transformed), k), worst, np.float32))
        # For unit vectors the squared distance is 2 - 2 cos.
        return (np.float32(1) - scores / 2 if self._euclidean else scores), found

    def _transformed(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        for transform in self._transforms:
            vectors = transform.apply(vectors)
        return np.ascontiguousarray(vectors, np.float32)


def ids_of(rows: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids of rows, -1 where there is no row."""
    if len(ids) == 0:
        return np.full(rows.shape, -1, np.int64)
    return np.where(rows == -1, np.int64(-1), ids[rows])
