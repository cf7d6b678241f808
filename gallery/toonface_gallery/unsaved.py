"""How far the files of saved galleries lie behind the galleries."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.rows import KEPT_CHANGES

# Changes in the store, to whatever gallery, after which a file must be written anew: once the store has forgotten those
# since, a start has no use for it.
_FORGOTTEN_AFTER: Final = KEPT_CHANGES // 2


class Unsaved:
    """What happened to galleries since each was saved, by their ids. For one thread at a time."""

    def __init__(self) -> None:
        """Know of no gallery."""
        self._saved_at: dict[int, int] = {}
        self._changes: dict[int, int] = {}

    def saved(self, gallery_id: int, sequence: int, changes: int = 0) -> None:
        """A gallery was saved as of this change in the store, and so many of its faces have changed since."""
        self._saved_at[gallery_id] = sequence
        self._changes[gallery_id] = changes

    def changed(self, gallery_id: int, changes: int) -> None:
        """So many more faces of a gallery have changed; one that was never saved is passed over."""
        if gallery_id in self._changes:
            self._changes[gallery_id] += changes

    def due(self, gallery: LoadedGallery, changes: int) -> bool:
        """Whether a gallery that was saved once has changed so much since, or the store will soon forget what did."""
        saved_at = self._saved_at.get(gallery.key.id)
        if saved_at is None:
            return False
        return self._changes[gallery.key.id] >= changes or gallery.position.sequence - saved_at >= _FORGOTTEN_AFTER

    def forget_all_but(self, galleries: Set[int]) -> set[int]:
        """Forget galleries, and tell which ones."""
        gone = self._saved_at.keys() - galleries
        for gallery_id in gone:
            del self._saved_at[gallery_id], self._changes[gallery_id]
        return gone
