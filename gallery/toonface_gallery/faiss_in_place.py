"""FAISS indices that remove in place: codes in rows, and inverted lists."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from toonface_gallery.faiss_index import FaissIndex, ids_of
from toonface_gallery.id_rows import DenseRows
from toonface_gallery.index import Alone, Encoded, Reader, Writer, read_array, write_array

# Its type stubs leave out half of it.
faiss: Any = typed_faiss


class FlatIndex(FaissIndex):
    """Codes in rows, all of which are looked at: `Flat`, `SQfp16`, `SQ8`, `PQ64` and such.

    FAISS's own remove_ids moves every row behind the first one removed, which takes 0.1 s at 200 MB. Here one from the
    end takes its place.
    """

    def _take(self, owner: Any) -> None:
        super()._take(owner)
        self._rows = DenseRows()

    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """See FaceIndex."""
        vectors = self._transformed(vectors)
        return Encoded(vectors, self._index.sa_encode(vectors))

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self._index.add_sa_codes(encoded.prepared)
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
        return scores, ids_of(rows, self._rows.ids)

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

    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """See FaceIndex. The codes begin with the numbers of their lists."""
        vectors = self._transformed(vectors)
        return Encoded(vectors, self._index.sa_encode(vectors))

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self._index.add_sa_codes(encoded.prepared, ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        self._index.remove_ids(faiss.IDSelectorArray(np.ascontiguousarray(ids)))

    def __len__(self) -> int:
        """See FaceIndex."""
        return int(self._index.ntotal)
