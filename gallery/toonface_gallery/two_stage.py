"""Search in two stages: a compressed index proposes, exact vectors decide."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from toonface_gallery.id_rows import DenseRows
from toonface_gallery.index import Alone, Encoded, FaceIndex, Reader, Writer, read_array, write_array

# Faces that the first stage proposes: this many for each that is asked for, and no fewer than the second number.
_PROPOSED: Final = 4
_PROPOSED_LEAST: Final = 256

# Rows that the file grows by: 32 MiB of half floats at 512 dimensions.
_GROWTH: Final = 32_768


class VectorFile:
    """Vectors by id in a memory-mapped file: the system keeps in memory what is looked at, and may take it back.

    The file has no name and goes with the process, however that ends.
    """

    def __init__(self, dimension: int, dtype: str, folder: Path | None) -> None:
        """Make an empty file.

        Args:
            dimension: D.
            dtype: `float16` or `float32`, as which they are kept.
            folder: where the file takes its space; None for the system's folder of temporary files.
        """
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (open as long as this object lives)
        self._dtype = np.dtype(dtype)
        self._dimension = dimension
        self._vectors: NDArray[Any] = np.empty((0, dimension), self._dtype)
        self._rows = DenseRows()

    def reserve(self, count: int) -> None:
        """Make sure of the space for so many more, since writing to a map on a full disk would end the process.

        Raises:
            OSError: the disk is full.
        """
        needed = len(self._rows) + count
        if needed > len(self._vectors):
            rows = (needed // _GROWTH + 1) * _GROWTH
            os.posix_fallocate(self._file.fileno(), 0, rows * self._dimension * self._dtype.itemsize)
            # Searches that still look at the old map look at the same file.
            self._vectors = np.memmap(self._file, self._dtype, "r+", shape=(rows, self._dimension))

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors FP32 [N,D] under ids that are not there, for which there is space."""
        self._vectors[len(self._rows) : len(self._rows) + len(ids)] = vectors
        self._rows.append(ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors that are there."""
        holes, moved = self._rows.remove(ids)
        self._vectors[holes] = self._vectors[moved]

    def scores(self, vector: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inner products of `vector` FP32 [D] with those of `ids` INT64 [N], all of which are there."""
        chosen = self._vectors[self._rows.rows(ids)]
        exact = _floats(chosen) if self._dtype == np.float16 else chosen
        # Not by BLAS, whose threads wait for one another: on a busy machine a search took 4 ms in place of 0.1.
        scores: NDArray[np.float32] = np.einsum("nd,d->n", exact, vector)
        return scores

    def save(self, out: Writer) -> None:
        """Write all vectors and their ids."""
        write_array(out, self._rows.ids)
        for start in range(0, len(self._rows), _GROWTH):
            write_array(out, np.asarray(self._vectors[start : min(start + _GROWTH, len(self._rows))]))

    def restore(self, source: Reader) -> None:
        """Take over what was written."""
        ids = read_array(source)
        self.reserve(len(ids))
        for start in range(0, len(ids), _GROWTH):
            part = read_array(source)
            self._vectors[start : start + len(part)] = part
        self._rows = DenseRows(ids)


class TwoStageIndex:
    """A FaceIndex: the nearest by a compressed index, ranked and scored anew by their exact vectors."""

    def __init__(self, first: FaceIndex, exact: VectorFile) -> None:
        """Join two empty ones."""
        self.first = first
        self._exact = exact

    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """See FaceIndex."""
        self._exact.reserve(len(vectors))
        return Encoded(vectors, self.first.encode(vectors, alone))

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """See FaceIndex."""
        self.first.add(ids, encoded.prepared)
        self._exact.add(ids, encoded.vectors)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See FaceIndex."""
        self.first.remove(ids)
        self._exact.remove(ids)

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See FaceIndex."""
        _, proposed = self.first.search(vectors, max(_PROPOSED * k, _PROPOSED_LEAST))
        scores = np.zeros((len(vectors), k), np.float32)
        ids = np.full((len(vectors), k), -1, np.int64)
        for row, candidates in enumerate(proposed):
            candidates = candidates[candidates >= 0]
            exact = self._exact.scores(vectors[row], candidates)
            order = np.argsort(-exact, kind="stable")[:k]
            ids[row, : len(order)] = candidates[order]
            scores[row, : len(order)] = exact[order]
        return scores, ids

    def __len__(self) -> int:
        """See FaceIndex."""
        return len(self.first)

    @property
    def worn(self) -> bool:
        """See FaceIndex."""
        return self.first.worn

    def save(self, out: Writer) -> None:
        """See FaceIndex."""
        self.first.save(out)
        self._exact.save(out)

    def restore(self, source: Reader) -> None:
        """See FaceIndex."""
        self.first.restore(source)
        self._exact.restore(source)


# Of a half float whose sign, exponent and fraction were moved to where a float has them: without the sign's copies, and
# by what exponents are to be raised, since those of a half float count from -15 and of a float from -127 (IEEE 754).
_IN_PLACE: Final = np.array(0x8FFFE000, np.uint32).view(np.int32)
_RAISED: Final = np.float32(2.0**112)


def _floats(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """Finite half floats as floats, exactly. NumPy's own conversion goes one by one, and takes three times as long."""
    bits = halves.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= _IN_PLACE
    floats = bits.view(np.float32)
    floats *= _RAISED
    return floats
