"""Makes the index of one gallery: from the file where it was saved, or from the store."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Final

import faiss

from toonface_contract.admin import IndexSettings
from toonface_contract.errors import InvalidRequest, Unavailable
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.plan import IndexPlan, plan
from toonface_gallery.saved import SavedIndices, Unusable
from toonface_gallery.snapshot import EnrolledFaces, GalleryKey
from toonface_gallery.store import GalleryStore

_LOG = logging.getLogger(__name__)

# What an index learnt from a gallery is good for as many times its faces.
_LEARNT_FOR: Final = 4

# Faces or changes that are read in one transaction: 16 MiB at 512 dimensions. While one is open, SQLite cannot empty
# its write-ahead log, nor PostgreSQL clear rows away; so none may last as long as it takes to build an index.
_PORTION: Final = 8192


class Builder:
    """Loads galleries from a store, beside those that serve. Safe to use from several threads, each for its gallery."""

    def __init__(self, store: GalleryStore, saved: SavedIndices | None, memory: int, stopping: threading.Event) -> None:
        """Use a store, a folder of saved indices if there is one, and so many bytes of memory for an index.

        Once `stopping` is set, what is being built is given up.
        """
        self._store = store
        self._saved = saved
        self._memory = memory
        self._stopping = stopping
        # By the ids of galleries: settings that were refused, to be logged once.
        self._refused: dict[int, IndexSettings] = {}

    def plan_for(self, key: GalleryKey, faces: int) -> IndexPlan:
        """The index that a gallery of so many faces gets.

        One whose settings name a type that cannot serve gets the automatic choice: it must not be lost to searches.
        """
        try:
            return plan(key.index, faces, key.dimension, self._memory)
        except InvalidRequest as error:
            if self._refused.get(key.id) != key.index:
                self._refused[key.id] = key.index
                _LOG.error("gallery %r is given an index by its size: %s", key.name, error.message)
            return plan(IndexSettings(metric=key.index.metric), faces, key.dimension, self._memory)

    def keeps(self, gallery: LoadedGallery) -> bool:
        """Whether a gallery's index still fits its size, what it learnt does too, and it is not worn.

        Twice as many faces would have to call for another index, too, before a gallery that has shrunk gets one: or
        one that hovers around a limit would be built over and over.
        """
        counts = (len(gallery), 2 * len(gallery))
        outgrown = gallery.plan.sample and len(gallery) > _LEARNT_FOR * gallery.plan.faces
        return (
            not outgrown
            and not gallery.index.worn
            and gallery.plan.name in {self.plan_for(gallery.key, count).name for count in counts}
        )

    def load(self, key: GalleryKey) -> LoadedGallery | None:
        """The gallery as it was saved, which may lie behind the store; None where it was not, or not so that it helps.

        Raises:
            Unavailable: `store_unavailable`.
        """
        if self._saved is None:
            return None
        began = time.monotonic()
        try:
            gallery = self._saved.load(key)
            if gallery is not None:
                with self._store.snapshot() as snapshot:
                    if not snapshot.follows(gallery.position):
                        raise Unusable("it is not of this store's history, or older than what the store remembers")
        except OSError as error:  # no space for its vectors, say: the file may be good
            _LOG.warning("gallery %r: the saved index cannot be read, and is built anew: %s", key.name, error)
            return None
        except Unusable as error:
            _LOG.warning(
                "gallery %r: the saved index %s is thrown away and built anew: %s",
                key.name,
                self._saved.path(key),
                error,
            )
            self._saved.discard(key.id)
            return None
        if gallery is not None:
            _LOG.info(
                "gallery %r: %d faces, index %s (%s), read from %s in %.1f s",
                key.name,
                len(gallery),
                gallery.plan.name,
                gallery.plan.reason,
                self._saved.path(key),
                time.monotonic() - began,
            )
        return gallery

    def build(self, key: GalleryKey, threads: int) -> LoadedGallery:
        """The gallery as it was in the store a moment ago, with a new index.

        Args:
            key: the gallery.
            threads: to compute with.

        Raises:
            Unavailable: `store_unavailable`; or `unavailable`, see `bring_up`.
        """
        began = time.monotonic()
        faiss.omp_set_num_threads(threads)
        with self._store.snapshot() as snapshot:
            chosen = self.plan_for(key, snapshot.count(key))
            sample = snapshot.sample(key, chosen.sample) if chosen.sample else None
            position = snapshot.position()
        index, first = chosen.make(key.dimension, key.index.metric, self._folder())
        if sample is not None:
            first.train(sample)  # minutes, perhaps, in which no transaction should be open
            del sample
        gallery = LoadedGallery(key, chosen, index, position=position)
        last = 0
        while portions := self._portions_after(key, last):
            gallery.apply([], portions)
            last = int(portions[-1].ids[-1])
        # What has changed since `position` may have been read or missed; to do again what was read is harmless.
        self.bring_up(gallery)
        if len(gallery) > 0:
            _LOG.info(
                "gallery %r: %d faces, index %s (%s), built in %.1f s",
                key.name,
                len(gallery),
                chosen.name,
                chosen.reason,
                time.monotonic() - began,
            )
        return gallery

    def bring_up(self, gallery: LoadedGallery) -> int:
        """Bring a gallery that nobody else changes up to the store's last change, as of a moment ago.

        Returns:
            How many of its faces were changed.

        Raises:
            Unavailable: `store_unavailable`; or `unavailable`, the store does not remember the changes any more, or the
                server stops.
        """
        changed = 0
        ended = False
        while not ended:
            self._check_stopping()
            since = gallery.position.sequence
            with self._store.snapshot() as snapshot:
                if not snapshot.follows(gallery.position):
                    raise Unavailable(
                        f"what happened to gallery {gallery.key.name!r} since change {since} cannot be told any more: "
                        "there were too many changes since, or another store has taken this one's place"
                    )
                position = snapshot.position_after(since, _PORTION)
                ended = position == snapshot.position()
                changes = snapshot.changes(gallery.key, since, position.sequence)
            gallery.follow(changes, position)
            changed += len(changes)
        return changed

    def _portions_after(self, key: GalleryKey, last: int) -> list[EnrolledFaces]:
        """The next faces of a gallery, in a transaction of its own; nothing at the end."""
        self._check_stopping()
        with self._store.snapshot() as snapshot:
            return list(snapshot.faces(key, last, _PORTION))

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise Unavailable("the server stops")

    def _folder(self) -> Path | None:
        """Where an index may keep files as long as it lives."""
        if self._saved is None:
            return None
        try:
            self._saved.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return self._saved.folder
