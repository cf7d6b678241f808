"""The galleries of one process, in memory, following the store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import InvalidRequest, Unavailable
from toonface_contract.names import DEFAULT_GALLERY
from toonface_gallery import refusals
from toonface_gallery.index import FlatIndex
from toonface_gallery.loaded import LoadedGallery, Matches
from toonface_gallery.snapshot import GalleryKey, Snapshot
from toonface_gallery.store import GalleryStore

_LOG = logging.getLogger(__name__)

# Looking costs one query of 0.15 ms, so ten looks a second take 0.2% of a core.
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class _State:
    """What the store held after its change `sequence`, by gallery name. `foreign` ones are of another embedder."""

    sequence: int = 0
    loaded: Mapping[str, LoadedGallery] = field(default_factory=dict)
    foreign: Mapping[str, GalleryKey] = field(default_factory=dict)


class LiveGalleries:
    """Every gallery of a store, searchable, and at most a moment behind it.

    A thread looks at the store ten times a second and brings the galleries up to its last change. Searches never wait
    for that: a new or rebuilt gallery is read aside and then put in place, and a changed one is locked only while the
    change is made in memory. While the store fails, the last state is served, and following resumes by itself.
    """

    def __init__(self, store: GalleryStore, embedder: str, dimension: int) -> None:
        """Prepare; `start` does the work.

        Args:
            store: remains the caller's, to be closed after `stop`.
            embedder: digest of the model whose embeddings will be searched for.
            dimension: their length.
        """
        self._store = store
        self._embedder = embedder
        self._dimension = dimension
        self._state = _State()
        self._catching_up = threading.Lock()
        self._stopping = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="gallery-follower", daemon=True)

    def start(self) -> None:
        """Make the gallery "default" if there is none, load all galleries, and begin to follow the store.

        Raises:
            Unavailable: `store_unavailable`.
        """
        self._store.ensure(DEFAULT_GALLERY, self._embedder, self._dimension)
        self._catch_up()
        self._follower.start()

    def stop(self) -> None:
        """Stop following, for good. The last state can still be searched."""
        self._stopping.set()
        if self._follower.is_alive():
            self._follower.join()

    @property
    def sequence(self) -> int:
        """Number of the last change in the store that searches take account of."""
        return self._state.sequence

    def search(self, gallery: str, embeddings: NDArray[np.float32], topk: int) -> Matches:
        """The K = min(topk, faces in the gallery) nearest faces of each of N probes.

        Args:
            gallery: its name.
            embeddings: FP32 [N,D], of unit length; N may be 0.
            topk: 1 or more.

        Raises:
            NotFound: `gallery_not_found`, and the store has none of this name either.
            InvalidRequest: `embedder_mismatch`, the gallery is of another embedder; `invalid_embedding`, the
                embeddings are not [N,D].
            Unavailable: `store_unavailable`, the name is not known here, and the store cannot be asked.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self._dimension:
            raise InvalidRequest(
                f"the embeddings have shape {list(embeddings.shape)}; it must be [N, {self._dimension}]",
                code="invalid_embedding",
            )
        found = self._find(gallery)
        if isinstance(found, GalleryKey):
            raise refusals.embedder_mismatch(gallery, found.embedder, found.dimension, self._embedder, self._dimension)
        return found.search(embeddings, topk)

    def _find(self, gallery: str) -> LoadedGallery | GalleryKey:
        """The gallery of this name. One that is not known may have been made a moment ago: then the store is asked."""
        found = self._known(gallery)
        if found is None:
            with self._store.snapshot() as snapshot:
                existing = [key.name for key in snapshot.galleries()]
            if gallery in existing:
                self._catch_up()
                found = self._known(gallery)
        if found is None:
            raise refusals.gallery_not_found(gallery, existing)
        return found

    def _known(self, gallery: str) -> LoadedGallery | GalleryKey | None:
        state = self._state
        return state.loaded.get(gallery) or state.foreign.get(gallery)

    def _follow(self) -> None:
        failing = False
        while not self._stopping.wait(_POLL_SECONDS):
            try:
                self._catch_up()
            except Exception as error:  # whatever it is, this thread must live, and searches go on
                if not failing:
                    _LOG.error(
                        "cannot follow the gallery store, the galleries stay as they were after change %d: %s",
                        self.sequence,
                        error,
                        exc_info=not isinstance(error, Unavailable),
                    )
                failing = True
            else:
                if failing:
                    _LOG.warning("following the gallery store again, up to change %d", self.sequence)
                failing = False

    def _catch_up(self) -> None:
        """Bring the state up to the store's last change. Everything is read first, so a failure changes nothing."""
        with self._catching_up:
            old = self._state
            with self._store.snapshot() as snapshot:
                sequence = snapshot.sequence()
                if sequence == old.sequence:
                    return
                if sequence < old.sequence:  # an older copy was restored in the store's place
                    old = _State()
                keys = snapshot.galleries()
                own = [key for key in keys if (key.embedder, key.dimension) == (self._embedder, self._dimension)]
                by_id = {gallery.key.id: gallery for gallery in old.loaded.values()}
                loaded = {key.name: by_id.get(key.id) or _load(snapshot, key) for key in own}
                changed = snapshot.changed(old.sequence)
                changes = [
                    (
                        gallery,
                        snapshot.removed(gallery.key, old.sequence),
                        list(snapshot.added(gallery.key, old.sequence)),
                        snapshot.relabelled(gallery.key, old.sequence),
                    )
                    for gallery in loaded.values()
                    if gallery.key.id in by_id and gallery.key.id in changed
                ]
            for gallery, removed, added, relabelled in changes:
                gallery.apply(removed, added, relabelled)
            foreign = {key.name: key for key in keys if key.name not in loaded}
            self._state = _State(sequence, loaded, foreign)


def _load(snapshot: Snapshot, key: GalleryKey) -> LoadedGallery:
    gallery = LoadedGallery(key, FlatIndex(key.dimension))
    for faces in snapshot.faces(key):
        gallery.apply([], [faces])
    return gallery
