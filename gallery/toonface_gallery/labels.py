"""The labels of a gallery's faces: each label once, and a number for each face."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toonface_gallery.id_rows import ABSENT, IdTable
from toonface_gallery.index import Reader, Writer, read_array, write_array


class FaceLabels:
    """The label of each of some faces, by id. Not safe to change while it is read."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._number: dict[str, int] = {}
        self._faces_of: list[int] = []
        self._of = IdTable()
        self.distinct = 0

    def __len__(self) -> int:
        """Number of faces."""
        return len(self._of)

    def has(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `ids` are there."""
        there: NDArray[np.bool_] = self._of.get(ids) != ABSENT
        return there

    def present(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of `ids` that are there."""
        return ids[self.has(ids)]

    def set(self, ids: NDArray[np.int64], labels: Sequence[str]) -> None:
        """Give faces labels, new faces or old, each once."""
        self._count(self._of.get(ids), -1)
        numbers = np.array([self._numbered(label) for label in labels], np.int32)
        self._of.set(ids, numbers)
        self._count(numbers, 1)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget faces that are there."""
        self._count(self._of.get(ids), -1)
        self._of.remove(ids)

    def names(self, ids: NDArray[np.int64]) -> list[list[str]]:
        """The labels of `ids` INT64 [N,K], "" where there is no such face."""
        return [
            [self._names[number] if number != ABSENT else "" for number in row] for row in self._of.get(ids).tolist()
        ]

    def first_of_each(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For `ids` INT64 [N,K], which are the first of their label in their row."""
        first = np.zeros(ids.shape, np.bool_)
        for row, numbers in enumerate(self._of.get(ids)):
            first[row, np.unique(numbers, return_index=True)[1]] = True
        return first

    def save(self, out: Writer) -> None:
        """Write everything down."""
        ids, numbers = self._of.items()
        write_array(out, ids)
        write_array(out, numbers)
        write_array(out, np.frombuffer(json.dumps(self._names).encode(), np.uint8))

    def restore(self, source: Reader) -> None:
        """Take over what was written down."""
        ids, numbers = read_array(source), read_array(source)
        self._names = json.loads(read_array(source).tobytes())
        self._number = {name: number for number, name in enumerate(self._names)}
        self._faces_of = np.bincount(numbers, minlength=len(self._names)).tolist()
        self.distinct = sum(count > 0 for count in self._faces_of)
        self._of.set(ids, numbers)

    def _numbered(self, label: str) -> int:
        number = self._number.setdefault(label, len(self._names))
        if number == len(self._names):
            self._names.append(label)
            self._faces_of.append(0)
        return number

    def _count(self, numbers: NDArray[np.int32], step: int) -> None:
        for number in numbers[numbers != ABSENT].tolist():
            before = self._faces_of[number]
            self._faces_of[number] = before + step
            self.distinct += (before + step > 0) - (before > 0)
