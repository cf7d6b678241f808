"""What changes while an index must stay as it is, because it is being saved: laid over it, and searched with it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

import numpy as np
from numpy.typing import NDArray

from toonface_gallery.faiss_in_place import FlatIndex
from toonface_gallery.id_rows import ABSENT, IdTable
from toonface_gallery.index import Alone, Encoded, FaceIndex, deepen

# Changes that may lie over an index: 64 MiB of new vectors at 512 dimensions, and some ms of each search.
_MOST: Final = 32_768


class Overtaken(Exception):
    """An index that must stay as it is should not any more; the message says how much has changed."""


class Overlay:
    """Faces that are new over an index, and those of it that are gone; one with another vector is both.

    It takes changes and searches in the index's place, as a FaceIndex does, and leaves the index alone. After `thaw`
    the index takes up what lies over it, some of the new faces at a time (`first`), and `settle` is told so.

    Attributes:
        frozen: whether the index must still stay as it is.
        overtaken: whether it should not any more, as there is no room for what changes; see `check`.
    """

    def __init__(self, index: FaceIndex, dimension: int) -> None:
        """Lay nothing over an index of vectors of this dimension."""
        self.frozen = True
        self.overtaken = False
        self._index = index
        self._count = len(index)
        self._new = _Vectors("Flat", "", dimension, "IP")
        self._gone = IdTable()

    def thaw(self) -> None:
        """Let the index be changed again; any thread may."""
        self.frozen = False

    def check(self) -> None:
        """Go on relying on the index.

        Raises:
            Overtaken: that is to be given up.
        """
        if self.overtaken:
            raise Overtaken(f"more than {_MOST:,} faces changed meanwhile")

    def takes(self, count: int) -> bool:
        """Whether there is room for so many changes more."""
        return len(self._new) + len(self._gone) + count <= _MOST

    @property
    def empty(self) -> bool:
        """Whether the index is all there is."""
        return len(self._new) + len(self._gone) == 0

    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """See FaceIndex."""
        return self._new.encode(vectors, alone)

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self._new.add(ids, encoded)
        self._count += len(ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        new = self._new.has(ids)
        self._new.remove(ids[new])
        gone = ids[~new]
        self._gone.set(gone, np.zeros(len(gone), np.int32))
        self._count -= len(ids)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""
        old_scores, old_ids = self._search_the_index(vectors, k)
        if len(self._new) == 0:
            return old_scores, old_ids
        new_scores, new_ids = self._new.search(vectors, min(k, len(self._new)))
        scores = np.concatenate([old_scores, new_scores], axis=1)
        ids = np.concatenate([old_ids, new_ids], axis=1)
        best = np.argsort(np.where(ids == -1, np.inf, -scores), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(ids, best, axis=1)

    def __len__(self) -> int:
        """See FaceIndex."""
        return self._count  # not of the parts, which may be asked about in the midst of a change

    def gone(self) -> NDArray[np.int64]:
        """Ids of the index's faces that are gone."""
        return self._gone.items()[0]

    def first(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids INT64 [N] and vectors FP32 [N,D] of new faces, `count` at most."""
        return self._new.first(count)

    def settle(self, ids: NDArray[np.int64]) -> None:
        """The index has lost the faces that were gone, and has taken up these new ones."""
        self._gone = IdTable()
        self._new.remove(ids)

    def _search_the_index(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if len(self._gone) == 0:
            return self._index.search(vectors, k)
        return deepen(self._index.search, vectors, k, len(self._index), lambda ids: self._gone.get(ids) == ABSENT)


class _Vectors(FlatIndex):
    """Vectors that can be told from one another by their ids, and had back."""

    def has(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        there: NDArray[np.bool_] = self._rows.rows(ids) != ABSENT
        return there

    def first(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids = self._rows.ids[:count].copy()
        vectors: NDArray[np.float32] = self._index.reconstruct_n(0, len(ids))
        return ids, vectors
