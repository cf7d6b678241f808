"""The galleries of one process, in memory, following the store."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError

from toonface_contract.errors import InvalidRequest, Unavailable
from toonface_contract.names import DEFAULT_GALLERY
from toonface_contract.options import Group
from toonface_gallery import refusals
from toonface_gallery.builder import Builder
from toonface_gallery.jobs import GalleryJobs
from toonface_gallery.loaded import FrozenGallery, LoadedGallery, Matches
from toonface_gallery.overlay import Overtaken
from toonface_gallery.plan import memory_budget
from toonface_gallery.retries import Retries, reason_of
from toonface_gallery.saved import SavedIndices
from toonface_gallery.snapshot import Changes, GalleryKey, Position, Snapshot
from toonface_gallery.store import GalleryStore
from toonface_gallery.unsaved import Unsaved

_LOG = logging.getLogger(__name__)

# Looking costs one query of 0.15 ms, so ten looks a second take 0.2% of a core.
_POLL_SECONDS: Final = 0.1

# Python lets a thread that computes go on for 5 ms before another gets its turn: a search of 1 ms would wait that long
# for the one that follows the store.
_TURN_SECONDS: Final = 0.0005

# From when the index of a new gallery begins to be built, searches for it wait so long, and so long for a look at the
# store that may find it. That is enough for a small one; a large one takes longer, and searches in other galleries may
# be waiting behind.
_PATIENCE_SECONDS: Final = 0.2

# When the last look is older, the store is slow or away, and no search waits for the next.
_LOOK_SECONDS_MOST: Final = 1.0

# When the server stops, what is being built or saved may take so long.
_STOP_SECONDS: Final = 5.0

# Changed faces after which a gallery is saved again: while the server runs, so many and a share of all, or an import
# would have it written over and over; and when it is stopped.
_SAVE_AFTER: Final = 50_000
_SAVE_SHARE: Final = 4
_SAVE_AT_STOP_AFTER: Final = 1000

_UNTOUCHED: Final = Changes([], [], [])


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
        loaded: those that can be searched. Where one lies behind `position`, another is being made in its place.
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
    as it can. A gallery is saved while it serves and follows; if it changes too much meanwhile, that is given up, and
    tried again later. While the store fails, the last state is served, and following resumes by itself. A gallery that
    fails by itself, for want of memory say, stays as it was, and is tried again ever less often; the others go on.
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
        # Why the last look failed, if it did; and who waits for the next, which it lets go on when it has ended.
        self._failure: str | None = None
        self._asking: SimpleQueue[threading.Event] = SimpleQueue()
        self._changing = threading.RLock()
        self._jobs = GalleryJobs(self._stopping)
        # By the ids of galleries: those made aside, and how often one was made in another's place.
        self._made: dict[int, LoadedGallery] = {}
        self._rebuilds: dict[int, int] = {}
        self._behind = Retries()  # those that could not follow
        self._overtaken = Retries()  # those that changed too much while they were saved
        self._unsaved = Unsaved()
        self._follower = threading.Thread(target=self._follow, name="gallery-follower", daemon=True)

    def start(self) -> None:
        """Make the gallery "default" if there is none, load all galleries, and begin to follow the store.

        A gallery that cannot be loaded is said in the log, and tried again; the others do not wait for it.

        Threads of this process take shorter turns from then on (`sys.setswitchinterval`).

        Raises:
            Unavailable: `store_unavailable`.
        """
        self._store.ensure(DEFAULT_GALLERY, self._embedder, self._dimension)
        self._look()
        self._jobs.join()
        if self._saved is not None:
            self._saved.keep_only({key.id for key in [*self._state.own.values(), *self._state.foreign.values()]})
        self._jobs.beside_searches = True
        sys.setswitchinterval(_TURN_SECONDS)
        self._follower.start()

    def stop(self) -> None:
        """Stop following, for good, and save what changed. The last state can still be searched."""
        self._stopping.set()
        self._asking.put(threading.Event())  # wakes the follower
        if self._follower.is_alive():
            self._follower.join()
            self._jobs.join(_STOP_SECONDS)
            if self._saved is not None:
                with self._changing:
                    for gallery in self._state.loaded.values():
                        if self._unsaved.due(gallery, _SAVE_AT_STOP_AFTER):
                            self._save(self._saved, gallery.freeze(), self._unsaved.changes(gallery.key.id), 1)

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
            NotFound: `gallery_not_found`, and the store had none of this name either, a moment ago.
            InvalidRequest: `embedder_mismatch`, the gallery is of another embedder; `invalid_embedding`, the
                embeddings are not [N,D].
            Unavailable: `store_unavailable`, the name is not known here, and the store cannot be asked; `unavailable`,
                the gallery is new, and still being loaded, or it cannot be loaded.
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
        """The gallery of this name. One that is not known may be a moment old: then the store is looked at."""
        found = self._known(gallery)
        if found is not None:
            return found
        if gallery not in self._state.own:
            self._wait_for_a_look(gallery)
        state = self._state
        key = state.own.get(gallery)
        if key is not None:
            self._jobs.join_one(key, _PATIENCE_SECONDS)
        found = self._known(gallery)
        if found is not None:
            return found
        if key is None:
            raise refusals.gallery_not_found(gallery, [*state.own, *state.foreign])
        failure = self._jobs.failure(key)
        if failure is not None:
            raise Unavailable(f"gallery {gallery!r} cannot be loaded, and is tried again: {failure}")
        raise Unavailable(f"gallery {gallery!r} is new, and its index is being built; try again in a moment")

    def _known(self, gallery: str) -> LoadedGallery | GalleryKey | None:
        state = self._state
        return state.loaded.get(gallery, state.foreign.get(gallery))

    def _wait_for_a_look(self, gallery: str) -> None:
        """Let the follower look at the store now, and wait for that, unless looking takes long: others wait behind.

        Raises:
            Unavailable: `store_unavailable`, the last look failed, or is too long ago to tell what galleries there are.
        """
        if self._failure is None and self.lag_seconds < _LOOK_SECONDS_MOST:
            looked = threading.Event()
            self._asking.put(looked)
            if looked.wait(_PATIENCE_SECONDS) and self._failure is None:
                return
        failure = self._failure
        why = f"was last looked at {self.lag_seconds:.1f} s ago" if failure is None else f"fails: {failure}"
        raise Unavailable(f"gallery {gallery!r} is not known here, and the store {why}", code="store_unavailable")

    def _follow(self) -> None:
        faiss.omp_set_num_threads(1)  # of this thread
        while True:
            asking = self._asked()
            if self._stopping.is_set():
                return
            try:
                self._look()
            except Exception as error:  # whatever it is, this thread must live, and searches go on
                if self._failure is None:
                    _LOG.error(
                        "cannot follow the gallery store, the galleries stay as they were after change %d: %s",
                        self._state.position.sequence,
                        error,
                        exc_info=not isinstance(error, Unavailable),
                    )
                self._failure = reason_of(error)
            else:
                if self._failure is not None:
                    _LOG.warning("following the gallery store again, up to change %d", self._state.position.sequence)
                self._failure = None
            for looked in asking:
                looked.set()

    def _asked(self) -> list[threading.Event]:
        """Who asks for a look, as soon as somebody does, or when it is time for one."""
        asking: list[threading.Event] = []
        with suppress(Empty):
            asking.append(self._asking.get(timeout=_POLL_SECONDS))
            while True:
                asking.append(self._asking.get_nowait())
        return asking

    def _look(self) -> None:
        """Bring everything up to date."""
        with self._changing:
            self._catch_up()
            self._make_what_is_missing()
            self._save_those_behind()

    def _catch_up(self) -> None:
        """Bring the state up to the store's last change. Everything is read first, so a failing store changes nothing.

        A gallery that fails by itself stays as it is.
        """
        old = self._state
        with self._store.snapshot() as snapshot:
            position = snapshot.position()
            behind = any(
                not (gallery.position == position and gallery.settled) and not self._behind.waits(gallery.key.id)
                for gallery in old.loaded.values()
            )
            if position == old.position and not self._made and not behind:
                self._looked = time.monotonic()
                return
            keys = snapshot.galleries()
            own = {key.name: key for key in keys if (key.embedder, key.dimension) == (self._embedder, self._dimension)}
            loaded = self._followed(snapshot, own, old)
            self._behind.forget_all_but({gallery.key.id for gallery in loaded.values()})
            changes = self._changes(snapshot, loaded.values(), position)
        self._looked = time.monotonic()
        for gallery, its_changes in changes:
            self._take_up(gallery, its_changes, position)
        # One that cannot follow, or that gave way to another, serves until there is a new one; not if it is there under
        # another name.
        ids = {key.id for key in keys}
        for name, key in own.items():
            before = old.loaded.get(name)
            if name not in loaded and before is not None and (before.key.id == key.id or before.key.id not in ids):
                loaded[name] = before
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
        there = [*old.loaded.values(), *self._made.values()]
        follows = {position: snapshot.follows(position) for position in {gallery.position for gallery in there}}
        usable = {
            gallery.key.id: gallery for gallery in old.loaded.values() if gallery.whole and follows[gallery.position]
        }
        for made in self._made.values():
            if follows[made.position]:
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

    def _changes(
        self, snapshot: Snapshot, galleries: Iterable[LoadedGallery], position: Position
    ) -> list[tuple[LoadedGallery, Changes]]:
        """What galleries have to take up, those that can now, to come to this position; or to settle there."""
        last = self._state.position
        touched = snapshot.changed(last.sequence)
        found = []
        for gallery in galleries:
            key = gallery.key
            if (gallery.position == position and gallery.settled) or self._behind.waits(key.id):
                continue
            if gallery.position in (last, position) and key.id not in touched:
                found.append((gallery, _UNTOUCHED))
                continue
            try:
                found.append((gallery, snapshot.changes(key, gallery.position.sequence)))
            except SQLAlchemyError:  # the store fails, for all galleries
                raise
            except Exception as error:  # whatever it is, the others go on
                self._cannot_follow(gallery, error)
        return found

    def _take_up(self, gallery: LoadedGallery, changes: Changes, position: Position) -> None:
        try:
            if not gallery.make_room(changes):
                return  # until the next look: it is being saved, which is being given up
            gallery.follow(changes, position)
        except Exception as error:  # whatever it is, the others go on
            self._cannot_follow(gallery, error)
            return
        self._unsaved.changed(gallery.key.id, len(changes))
        if self._behind.succeeded(gallery.key.id):
            _LOG.warning("gallery %r follows the store again, up to change %d", gallery.key.name, position.sequence)

    def _cannot_follow(self, gallery: LoadedGallery, error: Exception) -> None:
        if self._behind.failed(gallery.key.id, error):
            _LOG.error(
                "gallery %r cannot follow the store, and stays as it was after change %d: %s",
                gallery.key.name,
                gallery.position.sequence,
                error,
                exc_info=not isinstance(error, OSError),
            )

    def _make_what_is_missing(self) -> None:
        """Let galleries be made that are not loaded, or not up to date, or whose index does not fit any more."""
        for name, key in self._state.own.items():
            gallery = self._state.loaded.get(name)
            if self._jobs.busy(key):
                continue
            if gallery is None or gallery.key.id != key.id or not gallery.whole or self._is_lost(gallery):
                self._jobs.begin(key, "loaded", partial(self._make, key, False))
            elif gallery.key.index != key.index or not self._builder.keeps(gallery):
                self._jobs.begin(key, "loaded", partial(self._make, key, True))

    def _is_lost(self, gallery: LoadedGallery) -> bool:
        """Whether a gallery is behind and will not catch up by itself."""
        return gallery.position != self._state.position and self._behind.reason(gallery.key.id) is None

    def _make(self, key: GalleryKey, anew: bool, threads: int) -> None:
        """Make a gallery aside, from its file if there is one and it need not be anew, and put it in place."""
        gallery = None if anew else self._builder.load(key)
        saved_at = None if gallery is None else gallery.position.sequence
        if gallery is None:
            gallery = self._builder.build(key, threads)
        changed = self._builder.bring_up(gallery)
        with self._changing:
            self._made[key.id] = gallery
            self._behind.succeeded(key.id)
            self._unsaved.made(key.id, saved_at, changed)
            self._rebuilds[key.id] = self._rebuilds.get(key.id, -1) + 1
            self._catch_up()

    def _save_those_behind(self) -> None:
        """Let galleries be saved that are new or changed much."""
        if self._saved is None:
            return
        for gallery in self._state.loaded.values():
            key, enough = gallery.key, max(_SAVE_AFTER, len(gallery) // _SAVE_SHARE)
            if self._unsaved.due(gallery, enough) and not self._jobs.busy(key) and not self._overtaken.waits(key.id):
                frozen = gallery.freeze()
                save = partial(self._save, self._saved, frozen, self._unsaved.changes(key.id))
                if not self._jobs.begin(key, "saved", save):
                    frozen.overlay.thaw()

    def _save(self, saved: SavedIndices, gallery: FrozenGallery, changes: int, _: int) -> None:
        """Save a gallery, with so many changes that its file does not have, unless that fails.

        Then the next start takes longer.
        """
        key = gallery.key
        overtaken: Overtaken | None = None
        try:
            saved.save(gallery)
        except OSError as error:
            _LOG.warning("gallery %r: its index cannot be saved for a quick start: %s", key.name, error)
        except Overtaken as reason:
            overtaken = reason
        # Before this thread has the lock it is not at its end: or a gallery for whose changes there was no room could
        # be taken for lost by the look that found none.
        with self._changing:
            if overtaken is None:
                self._overtaken.succeeded(key.id)
                self._unsaved.saved(key.id, gallery.position.sequence, changes)
            elif self._overtaken.failed(key.id, overtaken):
                _LOG.info("gallery %r: its index is saved for a quick start later, as %s", key.name, overtaken)
            self._forget_what_is_gone()

    def _forget_what_is_gone(self) -> None:
        """Delete the files of galleries that were dropped, or replaced by others."""
        own = {key.id for key in self._state.own.values()}
        self._jobs.forget_all_but(own)
        self._overtaken.forget_all_but(own)
        for gallery_id in self._unsaved.forget_all_but(own):
            self._rebuilds.pop(gallery_id, None)
            if self._saved is not None:
                self._saved.discard(gallery_id)
