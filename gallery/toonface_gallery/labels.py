"""The labels of a gallery's faces: each label once, and a number for each face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_gallery.id_rows import ABSENT, IdTable
from toonface_gallery.index import Reader, Writer, read_array, write_array


@dataclass(frozen=True, slots=True)
class FrozenLabels:
    """Labels as they were at some time.

    Attributes:
        ids: INT64 [N], of the faces.
        numbers: INT32 [N], of their labels.
        names: the labels by their numbers.
    """

    ids: NDArray[np.int64]
    numbers: NDArray[np.int32]
    names: list[str]

    def save(self, out: Writer) -> None:
        """Write everything down."""
        write_array(out, self.ids)
        write_array(out, self.numbers)
        write_array(out, np.frombuffer(json.dumps(self.names).encode(), np.uint8))


class FaceLabels:
    """The label of each of some faces, by id. Not safe to change while it is read."""

    def __init__(self) -> None:
        # By number. A label whose last face is gone leaves its number free for another.
        self._names: list[str] = []
        self._faces_of: list[int] = []
        self._free: list[int] = []
        self._number: dict[str, int] = {}
        self._of = IdTable()

    def __len__(self) -> int:
        """Number of faces."""
        return len(self._of)

    @property
    def distinct(self) -> int:
        """Number of labels that have a face."""
        return len(self._number)

    def has(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `ids` are there."""
        there: NDArray[np.bool_] = self._of.get(ids) != ABSENT
        return there

    def present(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of `ids` that are there."""
        return ids[self.has(ids)]

    def set(self, ids: NDArray[np.int64], labels: Sequence[str]) -> None:
        """Give faces labels, new faces or old, each once."""
        before = self._of.get(ids)
        numbers = np.array([self._numbered(label) for label in labels], np.int32)
        self._of.set(ids, numbers)
        self._count(numbers, 1)
        self._count(before, -1)

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

    def freeze(self) -> FrozenLabels:
        """These labels as they are now, to be written down while they change."""
        ids, numbers = self._of.items()
        return FrozenLabels(ids.copy(), numbers.copy(), self._names.copy())

    def restore(self, source: Reader) -> None:
        """Take over what `FrozenLabels` wrote down."""
        ids, numbers = read_array(source), read_array(source)
        names = json.loads(read_array(source).tobytes())
        used, numbers, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        self._names = [names[number] for number in used.tolist()]
        self._faces_of = counts.tolist()
        self._free = []
        self._number = {name: number for number, name in enumerate(self._names)}
        self._of.set(ids, numbers.astype(np.int32))

    def _numbered(self, label: str) -> int:
        number = self._number.get(label)
        if number is None:
            if not self._free:
                self._free.append(len(self._names))
                self._names.append("")
                self._faces_of.append(0)
            number = self._number[label] = self._free.pop()
            self._names[number] = label
        return number

    def _count(self, numbers: NDArray[np.int32], step: int) -> None:
        for number in numbers[numbers != ABSENT].tolist():
            self._faces_of[number] += step
            if self._faces_of[number] == 0:
                del self._number[self._names[number]]
                self._names[number] = ""
                self._free.append(number)
