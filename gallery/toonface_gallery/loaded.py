"""One gallery in memory: an index and the labels of its faces, which change together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toonface_gallery.index import FaceIndex
from toonface_gallery.snapshot import EnrolledFaces, GalleryKey


@dataclass(frozen=True, slots=True)
class Matches:
    """The K nearest faces of each of N probes, the most similar first.

    Where an index finds fewer than K, the rest of the row has id -1, label "" and score 0.

    Attributes:
        ids: INT64 [N,K].
        scores: FP32 [N,K], cosine similarities, -1 to 1.
        labels: [N][K].
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: list[list[str]]


class LoadedGallery:
    """An index and the labels of its faces. Searches run side by side; a change waits for them, and they for it.

    Changes are made in place, under a lock that is held for the change in memory alone: nothing is read from the store
    under it. Copy and swap would spare searches that wait, but at the price of copying every vector for each change:
    200 MB for one face more in 100,000 of 512 dimensions, ten times a second, and twice the memory.
    """

    def __init__(self, key: GalleryKey, index: FaceIndex) -> None:
        """Take over an empty index for the gallery `key`."""
        self.key = key
        self._index = index
        self._labels: dict[int, str] = {}
        self._lock = _ReadWriteLock()

    def apply(
        self,
        removed: Sequence[int],
        added: Sequence[EnrolledFaces],
        relabelled: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Remove faces, then add some and give some other labels, as one change. One thread at a time may do so.

        Faces gone or there already are passed over: a change may be applied again when it is not known whether it was,
        and a face that came and went between two looks at the store may be among the removed alone.
        """
        with self._lock.writing():
            gone = [face for face in removed if face in self._labels]
            if gone:
                self._index.remove(np.array(gone, np.int64))
            for face in gone:
                del self._labels[face]
            for faces in added:
                new = np.array([face not in self._labels for face in faces.ids.tolist()])
                self._index.add(faces.ids[new], faces.embeddings[new])
                self._labels.update(zip(faces.ids.tolist(), faces.labels, strict=True))
            self._labels.update((face, label) for face, label in relabelled if face in self._labels)

    def search(self, embeddings: NDArray[np.float32], topk: int) -> Matches:
        """The K = min(topk, faces in the gallery) nearest faces of each row of `embeddings` FP32 [N,D]."""
        with self._lock.reading():
            k = min(topk, len(self._index))
            if k == 0:
                rows = len(embeddings)
                return Matches(
                    np.empty((rows, 0), np.int64), np.empty((rows, 0), np.float32), [[] for _ in range(rows)]
                )
            scores, ids = self._index.search(embeddings, k)
            labels = [[self._labels[face] if face != -1 else "" for face in row] for row in ids.tolist()]
        return Matches(ids, np.where(ids == -1, np.float32(0), scores), labels)


class _ReadWriteLock:
    """Any number of readers, or one writer. A waiting writer goes before new readers, so that it cannot wait for ever.

    There may be only one thread that writes.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writer = False  # one is waiting or writing

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._writer)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._condition:
            self._writer = True
            self._condition.wait_for(lambda: not self._readers)
        try:
            yield
        finally:
            with self._condition:
                self._writer = False
                self._condition.notify_all()
