"""One gallery in memory: an index and the labels of its faces, which change together."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from toonface_contract.options import Group
from toonface_gallery.index import Encoded, FaceIndex, deepen
from toonface_gallery.labels import FaceLabels, FrozenLabels
from toonface_gallery.overlay import Overlay
from toonface_gallery.plan import IndexPlan
from toonface_gallery.snapshot import Changes, EnrolledFaces, GalleryKey, Position

_NOWHERE: Final = Position()

# New faces that an index takes up at once after it was saved, and how long it goes on with that before other changes,
# which the same thread makes, get their turn: a graph of a million takes a ms and more for each (benchmarks/README.md).
_PORTION: Final = 256
_SETTLE_SECONDS: Final = 0.1


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


@dataclass(frozen=True, slots=True)
class FrozenGallery:
    """A gallery as it was at some time, to be saved while it changes.

    Attributes:
        key: the gallery.
        plan: of the index.
        position: the change in the store's history up to which this is what the store held.
        labels: of its faces.
        index: it does not change before `overlay` is thawed.
        overlay: over the index, for what changes in the gallery.
    """

    key: GalleryKey
    plan: IndexPlan
    position: Position
    labels: FrozenLabels
    index: FaceIndex
    overlay: Overlay


class LoadedGallery:
    """An index and the labels of its faces. Searches run side by side; a change waits for them, and they for it.

    Changes are made in place, under a lock that is held for the change in memory alone: nothing is read from the store
    under it, nor is anything worked out that can be known before. An index that cannot know before, such as a graph,
    takes up a large change in short steps, between which searches go on and find nothing of it. Copy and swap would
    spare searches that wait, but at the price of copying every vector for each change: 200 MB for one face more in
    100,000 of 512 dimensions, ten times a second, and twice the memory.

    An index that is being saved stays as it is; what changes meanwhile lies over it, and is searched too.

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
        self._overlay: Overlay | None = None
        self._lock = _ReadWriteLock()

    def __len__(self) -> int:
        """Number of faces."""
        return len(self._top)

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
                self._top.remove(gone)
                self.labels.remove(gone)
            if ready is not None:
                ids, labels, encoded = ready
                self._top.add(ids, encoded)
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

    @property
    def settled(self) -> bool:
        """Whether nothing lies over the index."""
        return self._overlay is None

    def freeze(self) -> FrozenGallery:
        """This gallery as it is now, to be saved while it changes.

        Raises:
            RuntimeError: it is not settled.
        """
        if not self.settled:
            raise RuntimeError(f"gallery {self.key.name!r} is being saved, or has still to take up what changed since")
        labels, overlay = self.labels.freeze(), Overlay(self.index, self.key.dimension)
        self._overlay = overlay
        return FrozenGallery(self.key, self.plan, self.position, labels, self.index, overlay)

    def make_room(self, changes: Changes) -> bool:
        """Let the index take up what lies over it, if it may be changed again, as far as it can in a moment.

        Returns:
            Whether there is room for these changes. If not, they must wait until the gallery is thawed, and whoever
            saves it is asked to give up.
        """
        overlay = self._overlay
        if overlay is None or self._settle(overlay, _SETTLE_SECONDS):
            return True
        if overlay.takes(len(changes.removed) + sum(len(faces.ids) for faces in changes.added)):
            return True
        overlay.overtaken = True
        # If it is not frozen, there is room once all of it is settled.
        return self._settle(overlay, math.inf)

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
                scores, ids = self._top.search(embeddings, k)
            else:
                scores, ids = deepen(self._top.search, embeddings, k, len(self.labels), self.labels.first_of_each)
            labels = self.labels.names(ids)
        return Matches(ids, np.where(ids == -1, np.float32(0), scores), labels)

    @property
    def _top(self) -> FaceIndex | Overlay:
        """What takes changes and searches."""
        return self.index if self._overlay is None else self._overlay

    def _settle(self, overlay: Overlay, seconds: float) -> bool:
        """Let the index take up what lies over it for so long, if it may be changed, and tell whether that was all."""
        until = time.monotonic() + seconds
        while not (overlay.frozen or overlay.empty) and time.monotonic() < until:
            ids, vectors = overlay.first(_PORTION)
            encoded = self.index.encode(vectors, self._alone)
            gone = overlay.gone()
            with self._alone():
                if len(gone):
                    self.index.remove(gone)
                if len(ids):
                    self.index.add(ids, encoded)
                overlay.settle(ids)
        if overlay.frozen or not overlay.empty:
            return False
        self._overlay = None
        return True

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
        return faces.ids[new], labels, self._top.encode(faces.embeddings[new], self._alone)


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
