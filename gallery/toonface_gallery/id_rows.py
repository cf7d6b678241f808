"""Tables from the ids of faces to small numbers, as arrays of 12 bytes a face, where a dictionary would take 100."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

ABSENT: Final = -1

# In place of the id of a row whose vector is gone.
GONE: Final = -2


class IdTable:
    """A number of 0 or more for each of some ids. Not safe to change while it is read.

    Two sorted arrays, searched by bisection. Ids grow, so new ones nearly always go to the end, where there is room;
    ids that are removed keep their place, marked as absent, until there are too many of them.
    """

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._values = np.empty(0, np.int32)
        self._used = 0
        self._absent = 0

    def __len__(self) -> int:
        """Number of ids."""
        return self._used - self._absent

    def get(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The numbers of `ids` INT64 of any shape; -1 where there is none."""
        if self._used == 0:
            return np.full(ids.shape, ABSENT, np.int32)
        known = self._ids[: self._used]
        # Where they are if no number was left out, as is common: bisection among a million takes ten times as long.
        places = np.clip(ids - known[0], 0, self._used - 1)
        elsewhere = known[places] != ids
        if elsewhere.any():
            places[elsewhere] = np.minimum(np.searchsorted(known, ids[elsewhere]), self._used - 1)
            return np.where(known[places] == ids, self._values[places], np.int32(ABSENT))
        values: NDArray[np.int32] = self._values[places]
        return values

    def set(self, ids: NDArray[np.int64], values: NDArray[np.int32]) -> None:
        """Give numbers to ids, new ones or old, each once."""
        known = self._ids[: self._used]
        places = np.searchsorted(known, ids)
        there = places < self._used
        there[there] = known[places[there]] == ids[there]
        old = places[there]
        self._absent -= int(np.count_nonzero(self._values[old] == ABSENT))
        self._values[old] = values[there]
        if not there.all():
            self._insert(ids[~there], values[~there])

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids that are there."""
        places = np.searchsorted(self._ids[: self._used], ids)
        self._values[places] = ABSENT
        self._absent += len(ids)
        if self._absent * 2 > self._used:
            kept_ids, kept_values = self.items()
            count = len(self)
            self._ids[:count], self._values[:count] = kept_ids, kept_values
            self._used, self._absent = count, 0

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """All ids in ascending order, and their numbers. Nothing changes thereby, so others may read meanwhile."""
        known, values = self._ids[: self._used], self._values[: self._used]
        if self._absent == 0:
            return known, values
        there = values != ABSENT
        return known[there], values[there]

    def _insert(self, ids: NDArray[np.int64], values: NDArray[np.int32]) -> None:
        order = np.argsort(ids)
        ids, values = ids[order], values[order]
        count = self._used + len(ids)
        if count > len(self._ids):
            self._ids = _grown(self._ids, count)
            self._values = _grown(self._values, count)
        if self._used and ids[0] < self._ids[self._used - 1]:
            places = np.searchsorted(self._ids[: self._used], ids)
            self._ids[:count] = np.insert(self._ids[: self._used], places, ids)
            self._values[:count] = np.insert(self._values[: self._used], places, values)
        else:
            self._ids[self._used : count] = ids
            self._values[self._used : count] = values
        self._used = count


class _Rows:
    """Which id has which row. Rows are taken in order, and have room to grow."""

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._count = 0
        self._rows = IdTable()

    @property
    def ids(self) -> NDArray[np.int64]:
        """INT64 [N], the id of each row; a view."""
        return self._ids[: self._count]

    def _room(self, count: int) -> None:
        """Make room for so many rows more."""
        if self._count + count > len(self._ids):
            self._ids = _grown(self._ids, self._count + count)

    def _put(self, first: int, ids: NDArray[np.int64]) -> None:
        """Give the rows from `first` on to ids that have none."""
        self._ids[first : first + len(ids)] = ids
        self._rows.set(ids, np.arange(first, first + len(ids), dtype=np.int32))


class DenseRows(_Rows):
    """Which id has which of the rows 0 to N-1. A removed row's place is taken by one from the end."""

    def __init__(self, ids: NDArray[np.int64] | None = None) -> None:
        """Begin with these ids in rows 0 to N-1, or with none."""
        super().__init__()
        if ids is not None:
            self.append(ids)

    def __len__(self) -> int:
        """Number of rows."""
        return self._count

    def append(self, ids: NDArray[np.int64]) -> None:
        """Give the next rows to ids that have none."""
        self._room(len(ids))
        self._put(self._count, ids)
        self._count += len(ids)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The rows of ids, of any shape; -1 where there is none."""
        return self._rows.get(ids)

    def remove(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Take the rows of ids that have one.

        Returns:
            INT32 [M] rows to be overwritten, and INT32 [M] rows from the end to be moved there, in the same order.
        """
        gone = self._rows.get(ids)
        count = self._count - len(ids)
        holes = gone[gone < count]
        moved = np.setdiff1d(np.arange(count, self._count, dtype=np.int32), gone)
        self._rows.remove(ids)
        self._ids[holes] = self._ids[moved]
        self._rows.set(self._ids[holes], holes)
        self._count = count
        return holes, moved


class MarkedRows(_Rows):
    """Which id has which of the rows that only become more. A removed one keeps its row, in which `ids` says `GONE`."""

    def __init__(self, ids: NDArray[np.int64] | None = None) -> None:
        """Begin with these ids in rows 0 to N-1, `GONE` where they were removed, or with none."""
        super().__init__()
        if ids is not None:
            self._ids, self._count = ids.copy(), len(ids)
            there = np.flatnonzero(ids != GONE)
            self._rows.set(ids[there], there.astype(np.int32))

    def __len__(self) -> int:
        """Number of ids."""
        return len(self._rows)

    def reserve(self, count: int) -> None:
        """Take the next rows for ids to come. Until then they are as if theirs were gone."""
        self._room(count)
        self._ids[self._count : self._count + count] = GONE
        self._count += count

    def fill(self, first: int, ids: NDArray[np.int64]) -> None:
        """Give the reserved rows from `first` on to ids that have none."""
        self._put(first, ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Mark the rows of ids that have one."""
        self._ids[self._rows.get(ids)] = GONE
        self._rows.remove(ids)


_Number = TypeVar("_Number", np.int32, np.int64)


def _grown(array: NDArray[_Number], count: int) -> NDArray[_Number]:
    """The array with room for `count` entries and an eighth more."""
    grown = np.empty(count + count // 8 + 16, array.dtype)
    grown[: len(array)] = array
    return grown
