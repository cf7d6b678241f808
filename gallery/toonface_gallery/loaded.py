"""One gallery in memory: an index and the labels of its faces, which change together."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from toonface_contract.options import Group
from toonface_gallery.index import Encoded, FaceIndex, deepen
from toonface_gallery.labels import FaceLabels
from toonface_gallery.plan import IndexPlan
from toonface_gallery.snapshot import Changes, EnrolledFaces, GalleryKey, Position

_NOWHERE: Final = Position()


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
    under it, nor is anything worked out that can be known before. An index that cannot know before, such as a graph,
    takes up a large change in short steps, between which searches go on and find nothing of it. Copy and swap would
    spare searches that wait, but at the price of copying every vector for each change: 200 MB for one face more in
    100,000 of 512 dimensions, ten times a second, and twice the memory.

    Attributes:
        key: the gallery; its name may change.
        plan: of the index.
        position: the change in the store's history up to which this is what the store holds.
        whole: whether index and labels belong together; not after a change that failed while it was made.
    """

    def __init__(
        self,
        key: GalleryKey,
        plan: IndexPlan,
        index: FaceIndex,
        labels: FaceLabels | None = None,
        position: Position = _NOWHERE,
    ) -> None:
        """Take over an index for the gallery `key`, and the labels of its faces."""
        self.key = key
        self.plan = plan
        self.position = position
        self.whole = True
        self.index = index
        self.labels = FaceLabels() if labels is None else labels
        self._lock = _ReadWriteLock()

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.index)

    def apply(
        self,
        removed: Sequence[int],
        added: Iterable[EnrolledFaces],
        relabelled: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Remove faces, then add some and give some other labels, as one change. One thread at a time may do so.

        Faces gone or there already are passed over: a change may be applied again when it is not known whether it was,
        and a face that came and went between two looks at the store may be among the removed alone.
        """
        gone = self.labels.present(np.unique(np.array(removed, np.int64)))
        portions = list(added)
        # All at once, since an index makes sure of the space for what it encodes.
        ready = self._ready(_joined(portions), gone) if portions else None
        if not (len(gone) or ready or relabelled):
            return
        with self._alone():
            if len(gone):
                self.index.remove(gone)
                self.labels.remove(gone)
            if ready is not None:
                ids, labels, encoded = ready
                self.index.add(ids, encoded)
                self.labels.set(ids, labels)
            if relabelled:
                ids = np.array([face for face, _ in relabelled], np.int64)
                there = self.labels.has(ids)
                self.labels.set(
                    ids[there], [label for (_, label), is_there in zip(relabelled, there, strict=True) if is_there]
                )

    def follow(self, changes: Changes, position: Position) -> None:
        """Take up what the store tells of this gallery up to `position`, as `apply` does."""
        self.apply(changes.removed, changes.added, changes.relabelled)
        self.position = position

    def search(self, embeddings: NDArray[np.float32], topk: int, group: Group = "face") -> Matches:
        """The nearest faces of each row of `embeddings` FP32 [N,D].

        Args:
            embeddings: of unit length.
            topk: 1 or more.
            group: `face` for the K = min(topk, faces) nearest faces; `label` for the nearest face of each of the
                K = min(topk, labels) nearest labels.
        """
        with self._lock.reading():
            k = min(topk, len(self.labels) if group == "face" else self.labels.distinct)
            if k == 0:
                rows = len(embeddings)
                return Matches(
                    np.empty((rows, 0), np.int64), np.empty((rows, 0), np.float32), [[] for _ in range(rows)]
                )
            if group == "face":
                scores, ids = self.index.search(embeddings, k)
            else:
                scores, ids = deepen(self.index.search, embeddings, k, len(self.labels), self.labels.first_of_each)
            labels = self.labels.names(ids)
        return Matches(ids, np.where(ids == -1, np.float32(0), scores), labels)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock.writing():
            self.whole = False
            yield
            self.whole = True

    def _ready(
        self, faces: EnrolledFaces, gone: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], list[str], Encoded] | None:
        new = ~self.labels.has(faces.ids) | np.isin(faces.ids, gone)
        if not new.any():
            return None
        labels = [label for label, is_new in zip(faces.labels, new, strict=True) if is_new]
        return faces.ids[new], labels, self.index.encode(faces.embeddings[new], self._alone)


def _joined(portions: Sequence[EnrolledFaces]) -> EnrolledFaces:
    if len(portions) == 1:
        return portions[0]
    return EnrolledFaces(
        np.concatenate([each.ids for each in portions]),
        [label for each in portions for label in each.labels],
        np.concatenate([each.embeddings for each in portions]),
    )


class _ReadWriteLock:
    """Any number of readers, or one writer. A waiting writer goes before new readers, so that it cannot wait for ever.

    Those who waited for it go before its next turn, so that one with many short turns does not keep them waiting.
    There may be only one thread that writes.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writer = False  # one is waiting or writing
        self._kept_waiting = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._condition:
            self._kept_waiting += 1
            try:
                self._condition.wait_for(lambda: not self._writer)
            finally:
                self._kept_waiting -= 1
                self._condition.notify_all()
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
            self._condition.wait_for(lambda: not self._kept_waiting)
            self._writer = True
            self._condition.wait_for(lambda: not self._readers)
        try:
            yield
        finally:
            with self._condition:
                self._writer = False
                self._condition.notify_all()
