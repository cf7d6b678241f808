"""The galleries of one process, in memory, following the store."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import InvalidRequest, Unavailable
from toonface_contract.names import DEFAULT_GALLERY
from toonface_contract.options import Group
from toonface_gallery import refusals
from toonface_gallery.builder import Builder
from toonface_gallery.jobs import GalleryJobs
from toonface_gallery.loaded import LoadedGallery, Matches
from toonface_gallery.plan import memory_budget
from toonface_gallery.saved import SavedIndices
from toonface_gallery.snapshot import GalleryKey, Position, Snapshot
from toonface_gallery.store import GalleryStore
from toonface_gallery.unsaved import Unsaved

_LOG = logging.getLogger(__name__)

# Looking costs one query of 0.15 ms, so ten looks a second take 0.2% of a core.
_POLL_SECONDS: Final = 0.1

# Python lets a thread that computes go on for 5 ms before another gets its turn: a search of 1 ms would wait that long
# for the one that follows the store.
_TURN_SECONDS: Final = 0.0005

# From when the index of a new gallery begins to be built, searches for it wait so long. That is enough for a small one;
# a large one takes longer, and searches in other galleries may be waiting behind.
_PATIENCE_SECONDS: Final = 0.2

# When the server stops, what is being built or saved may take so long.
_STOP_SECONDS: Final = 5.0

# Changed faces after which a gallery is saved again: while the server runs, so many and a share of all, or an import
# would have it written over and over; and when it is stopped.
_SAVE_AFTER: Final = 50_000
_SAVE_SHARE: Final = 4
_SAVE_AT_STOP_AFTER: Final = 1000


@dataclass(frozen=True, slots=True)
class GalleryStatus:
    """One loaded gallery.

    Attributes:
        name: its name.
        faces: in it.
        labels: different ones among them.
        index: its index type.
        reason: why that one.
        sequence: the store's change up to which it is what the store holds.
        rebuilds: how often its index was built anew since the start.
    """

    name: str
    faces: int
    labels: int
    index: str
    reason: str
    sequence: int
    rebuilds: int


@dataclass(frozen=True, slots=True)
class _State:
    """What the store held at `position`, by gallery name.

    Attributes:
        position: of the last look.
        own: galleries of this embedder.
        foreign: galleries of another.
        loaded: those that can be searched. Where one lies behind `position`, it is being saved, or another is being
            made in its place.
    """

    position: Position = Position()
    own: Mapping[str, GalleryKey] = field(default_factory=dict)
    foreign: Mapping[str, GalleryKey] = field(default_factory=dict)
    loaded: Mapping[str, LoadedGallery] = field(default_factory=dict)


class LiveGalleries:
    """Every gallery of a store, searchable, and at most a moment behind it.

    A thread looks at the store ten times a second and brings the galleries up to its last change. Searches never wait
    for that: a new or rebuilt gallery is made aside, by a thread of its own, and then put in place; a changed one is
    locked only while the change is made in memory. Until its successor is ready, the old one serves, and follows as far
    as it can. A gallery that is being saved takes up changes afterwards; the others do not wait for it. While the store
    fails, the last state is served, and following resumes by itself.
    """

    def __init__(
        self,
        store: GalleryStore,
        embedder: str,
        dimension: int,
        *,
        folder: Path | None = None,
        memory: int | None = None,
    ) -> None:
        """Prepare; `start` does the work.

        Args:
            store: remains the caller's, to be closed after `stop`.
            embedder: digest of the model whose embeddings will be searched for.
            dimension: their length.
            folder: where indices are saved for a quick start, and where two-stage ones keep their vectors; None for
                no saving, and the system's folder of temporary files.
            memory: bytes that one index may take; by default a third of what there is.
        """
        self._store = store
        self._embedder = embedder
        self._dimension = dimension
        self._saved = None if folder is None else SavedIndices(folder)
        self._stopping = threading.Event()
        memory = memory_budget() if memory is None else memory
        self._builder = Builder(store, self._saved, memory, self._stopping)
        self._state = _State()
        self._sequence = 0
        self._looked = time.monotonic()
        self._changing = threading.RLock()
        self._jobs = GalleryJobs(self._stopping)
        # By the ids of galleries: those made aside, how often one was made in another's place, and those that may not
        # be changed, as they are being saved.
        self._made: dict[int, LoadedGallery] = {}
        self._rebuilds: dict[int, int] = {}
        self._saving: set[int] = set()
        self._unsaved = Unsaved()
        self._follower = threading.Thread(target=self._follow, name="gallery-follower", daemon=True)

    def start(self) -> None:
        """Make the gallery "default" if there is none, load all galleries, and begin to follow the store.

        Threads of this process take shorter turns from then on (`sys.setswitchinterval`).

        Raises:
            Unavailable: `store_unavailable`.
        """
        self._store.ensure(DEFAULT_GALLERY, self._embedder, self._dimension)
        self._look()
        self._jobs.join()
        for failure in self._jobs.failures:
            raise failure
        if self._saved is not None:
            self._saved.keep_only({key.id for key in [*self._state.own.values(), *self._state.foreign.values()]})
        self._jobs.beside_searches = True
        sys.setswitchinterval(_TURN_SECONDS)
        self._follower.start()

    def stop(self) -> None:
        """Stop following, for good, and save what changed. The last state can still be searched."""
        self._stopping.set()
        if self._follower.is_alive():
            self._follower.join()
            self._jobs.join(_STOP_SECONDS)
            with self._changing:
                for gallery in self._state.loaded.values():
                    if self._unsaved.due(gallery, _SAVE_AT_STOP_AFTER) and gallery.key.id not in self._saving:
                        self._builder.save(gallery)

    @property
    def sequence(self) -> int:
        """Number of the last change in the store that searches take account of."""
        return self._sequence

    @property
    def store_sequence(self) -> int:
        """Number of the last change in the store, as of the last look at it."""
        return self._state.position.sequence

    @property
    def lag_seconds(self) -> float:
        """How long ago the store was looked at; more than a moment when it fails."""
        return time.monotonic() - self._looked

    def status(self) -> list[GalleryStatus]:
        """The loaded galleries, in the order of their names."""
        return [
            GalleryStatus(
                name,
                len(gallery),
                gallery.labels.distinct,
                gallery.plan.name,
                gallery.plan.reason,
                gallery.position.sequence,
                self._rebuilds.get(gallery.key.id, 0),
            )
            for name, gallery in sorted(self._state.loaded.items())
        ]

    def search(self, gallery: str, embeddings: NDArray[np.float32], topk: int, group: Group = "face") -> Matches:
        """The nearest faces of each of N probes.

        Args:
            gallery: its name.
            embeddings: FP32 [N,D], of unit length; N may be 0.
            topk: 1 or more.
            group: `face` for the K = min(topk, faces in the gallery) nearest faces; `label` for the nearest face of
                each of the K = min(topk, labels in the gallery) nearest labels.

        Raises:
            NotFound: `gallery_not_found`, and the store has none of this name either.
            InvalidRequest: `embedder_mismatch`, the gallery is of another embedder; `invalid_embedding`, the
                embeddings are not [N,D].
            Unavailable: `store_unavailable`, the name is not known here, and the store cannot be asked; `unavailable`,
                the gallery is new, and still being loaded.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self._dimension:
            raise InvalidRequest(
                f"the embeddings have shape {list(embeddings.shape)}; it must be [N, {self._dimension}]",
                code="invalid_embedding",
            )
        found = self._find(gallery)
        if isinstance(found, GalleryKey):
            raise refusals.embedder_mismatch(gallery, found.embedder, found.dimension, self._embedder, self._dimension)
        return found.search(embeddings, topk, group)

    def _find(self, gallery: str) -> LoadedGallery | GalleryKey:
        """The gallery of this name. One that is not known may have been made a moment ago: then the store is asked."""
        found = self._known(gallery)
        if found is not None:
            return found
        if gallery not in self._state.own:
            with self._store.snapshot() as snapshot:
                existing = [key.name for key in snapshot.galleries()]
            if gallery not in existing:
                raise refusals.gallery_not_found(gallery, existing)
            self._look(_PATIENCE_SECONDS)
        if (key := self._state.own.get(gallery)) is not None:
            self._jobs.join_one(key, _PATIENCE_SECONDS)
        found = self._known(gallery)
        if found is None:
            raise Unavailable(f"gallery {gallery!r} is new, and its index is being built; try again in a moment")
        return found

    def _known(self, gallery: str) -> LoadedGallery | GalleryKey | None:
        state = self._state
        return state.loaded.get(gallery, state.foreign.get(gallery))

    def _follow(self) -> None:
        faiss.omp_set_num_threads(1)  # of this thread
        failing = False
        while not self._stopping.wait(_POLL_SECONDS):
            try:
                self._look()
            except Exception as error:  # whatever it is, this thread must live, and searches go on
                if not failing:
                    _LOG.error(
                        "cannot follow the gallery store, the galleries stay as they were after change %d: %s",
                        self._state.position.sequence,
                        error,
                        exc_info=not isinstance(error, Unavailable),
                    )
                failing = True
            else:
                if failing:
                    _LOG.warning("following the gallery store again, up to change %d", self._state.position.sequence)
                failing = False

    def _look(self, patience: float = -1) -> None:
        """Bring everything up to date, unless others are at it for so long; -1 is for ever."""
        if self._changing.acquire(timeout=patience):
            try:
                self._catch_up()
                self._looked = time.monotonic()
                self._make_what_is_missing()
                self._save_those_behind()
            finally:
                self._changing.release()

    def _catch_up(self) -> None:
        """Bring the state up to the store's last change. Everything is read first, so a failure changes nothing."""
        old = self._state
        with self._store.snapshot() as snapshot:
            position = snapshot.position()
            behind = any(gallery.position != position for gallery in old.loaded.values())
            if position == old.position and not self._made and not behind:
                return
            keys = snapshot.galleries()
            own = {key.name: key for key in keys if (key.embedder, key.dimension) == (self._embedder, self._dimension)}
            loaded = self._followed(snapshot, own, old)
            changes = [
                (gallery, snapshot.changes(gallery.key, gallery.position.sequence))
                for gallery in loaded.values()
                if gallery.position != position and gallery.key.id not in self._saving
            ]
        for gallery, its_changes in changes:
            gallery.follow(its_changes, position)
            self._unsaved.changed(gallery.key.id, len(its_changes))
        # An old gallery of the same name serves until the new one has been made.
        loaded |= {name: old.loaded[name] for name in own if name not in loaded and name in old.loaded}
        foreign = {key.name: key for key in keys if key.name not in own}
        self._state = _State(position, own, foreign, loaded)
        self._made.clear()
        if all(name in loaded and loaded[name].position == position for name in own):
            self._sequence = position.sequence
        self._forget_what_is_gone()

    def _followed(self, snapshot: Snapshot, own: Mapping[str, GalleryKey], old: _State) -> dict[str, LoadedGallery]:
        """Those of the galleries, just made or loaded before, that what changed since can bring up to this snapshot."""
        # One of whose time the store tells nothing has to be made anew: the changes were trimmed, or an older copy was
        # put in the store's place.
        usable = {gallery.key.id: gallery for gallery in old.loaded.values() if snapshot.follows(gallery.position)}
        for made in self._made.values():
            if snapshot.follows(made.position):
                usable[made.key.id] = made
            else:
                _LOG.warning(
                    "gallery %r: the index that was made is dropped, as the store does not tell what happened since "
                    "change %d",
                    made.key.name,
                    made.position.sequence,
                )
        followed = {name: usable[key.id] for name, key in own.items() if key.id in usable}
        for name, gallery in followed.items():
            # One that was made for other index settings keeps them, and serves until another has been made.
            gallery.key = replace(own[name], index=gallery.key.index)
        return followed

    def _make_what_is_missing(self) -> None:
        """Let galleries be made that are not loaded, or not up to date, or whose index does not fit any more."""
        for name, key in self._state.own.items():
            gallery = self._state.loaded.get(name)
            if self._jobs.busy(key):
                continue
            if gallery is None or gallery.position != self._state.position:
                self._jobs.begin(key, "loaded", partial(self._make, self._builder.load, key))
            elif gallery.key.index != key.index or not self._builder.keeps(gallery):
                self._jobs.begin(key, "loaded", partial(self._make, self._builder.build, key))

    def _make(self, make: Callable[[GalleryKey, int], LoadedGallery], key: GalleryKey, threads: int) -> None:
        """Make a gallery aside, and put it in place."""
        gallery = make(key, threads)
        saved_at = gallery.position.sequence
        changed = self._builder.bring_up(gallery)
        with self._changing:
            self._made[key.id] = gallery
            self._unsaved.saved(key.id, saved_at, changed)
            self._rebuilds[key.id] = self._rebuilds.get(key.id, -1) + 1
            self._catch_up()

    def _save_those_behind(self) -> None:
        """Let galleries be saved that changed much. None of them is changed until it is written."""
        if self._saved is None:
            return
        for gallery in self._state.loaded.values():
            changes = max(_SAVE_AFTER, len(gallery) // _SAVE_SHARE)
            if self._unsaved.due(gallery, changes) and not self._jobs.busy(gallery.key):
                # It cannot end before this thread gives up the lock under which galleries are changed.
                self._jobs.begin(gallery.key, "saved", partial(self._save, gallery), urgent=True)
                self._saving.add(gallery.key.id)

    def _save(self, gallery: LoadedGallery, _: int) -> None:
        try:
            self._builder.save(gallery)
        finally:
            with self._changing:
                self._saving.remove(gallery.key.id)
                self._unsaved.saved(gallery.key.id, gallery.position.sequence)
                self._forget_what_is_gone()

    def _forget_what_is_gone(self) -> None:
        """Delete the files of galleries that were dropped, or replaced by others."""
        for gallery_id in self._unsaved.forget_all_but({key.id for key in self._state.own.values()}):
            self._rebuilds.pop(gallery_id, None)
            if self._saved is not None:
                self._saved.discard(gallery_id)
