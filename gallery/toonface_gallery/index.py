"""What an index of unit vectors does, whatever its type. The score of a match is the cosine similarity."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Search = Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], NDArray[np.int64]]]

# What must be left and entered again between steps that run alone, so that searches get their turn.
Alone = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors made ready to be added.

    Attributes:
        vectors: FP32 [N,D].
        prepared: what else the index worked out beforehand.
    """

    vectors: NDArray[np.float32]
    prepared: Any = None


class Reader(Protocol):
    """A binary stream to read from."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes."""


class Writer(Protocol):
    """A binary stream to write to."""

    def write(self, data: Any, /) -> int:
        """Append bytes."""


class FaceIndex(Protocol):
    """Vectors under ids of the caller's. Searches may run side by side; a change must run alone."""

    def encode(self, vectors: NDArray[np.float32], alone: Alone = nullcontext) -> Encoded:
        """All of the work of adding `vectors` FP32 [N,D], of unit length, that need not be done at once, and alone.

        Others may search meanwhile, except that an index which cannot prepare what it adds takes it up in short steps,
        each within `alone()`. Searches find nothing of it before it is added. Only one thread at a time may encode and
        add.

        Args:
            vectors: N may be 0.
            alone: makes sure that nobody searches; by default it relies on the caller for that.
        """

    def add(self, ids: NDArray[np.int64], encoded: Encoded) -> None:
        """Add vectors under `ids` INT64 [N], none of which is in the index: what was encoded last, and once."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove the vectors of `ids` INT64 [N], all of which are in the index, each once."""

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

    @property
    def worn(self) -> bool:
        """Whether so much was removed that the index should be built anew."""

    def save(self, out: Writer) -> None:
        """Write everything down. Searches may go on meanwhile, changes may not."""

    def restore(self, source: Reader) -> None:
        """Take over what an index of the same plan has written down."""


def write_array(out: Writer, array: NDArray[Any]) -> None:
    """Write an array in NumPy's own format."""
    np.lib.format.write_array(out, array, allow_pickle=False)  # type: ignore[no-untyped-call]


def read_array(source: Reader) -> NDArray[Any]:
    """Read an array of `write_array`; nothing is unpickled."""
    array: NDArray[Any] = np.lib.format.read_array(source, allow_pickle=False)  # type: ignore[no-untyped-call]
    return array


def deepen(
    search: Search,
    vectors: NDArray[np.float32],
    k: int,
    most: int,
    keep: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k nearest of each row that are wanted, by looking at ever more of the nearest until there are enough.

    Args:
        search: looks at the nearest, wanted or not.
        vectors: FP32 [N,D].
        k: 1 or more.
        most: how many there are to be looked at.
        keep: for ids INT64 [n,k'], which are wanted: BOOL of the same shape. Negative ones never are; a row that ends
            with -1 has no more to be looked at.

    Returns:
        Scores FP32 [N,k] and ids INT64 [N,k]; where fewer than k are found, the row's last ids are -1.
    """
    scores = np.zeros((len(vectors), k), np.float32)
    ids = np.full((len(vectors), k), -1, np.int64)
    rows = np.arange(len(vectors))
    looked_at = min(most, k + 32)
    while len(rows):
        found_scores, found_ids = search(vectors[rows], looked_at)
        wanted = keep(found_ids) & (found_ids >= 0)
        # The wanted ones to the front, in their order.
        order = np.argsort(~wanted, axis=1, kind="stable")[:, :k]
        width = order.shape[1]
        there = np.take_along_axis(wanted, order, axis=1)
        ids[rows, :width] = np.where(there, np.take_along_axis(found_ids, order, axis=1), -1)
        scores[rows, :width] = np.where(there, np.take_along_axis(found_scores, order, axis=1), 0)
        if looked_at >= most:
            break
        rows = rows[(wanted.sum(axis=1) < k) & (found_ids[:, -1] != -1)]
        looked_at = min(most, looked_at * 4)
    return scores, ids
