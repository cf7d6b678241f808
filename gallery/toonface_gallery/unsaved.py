"""How far the files of saved galleries lie behind the galleries."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.rows import KEPT_CHANGES

# Faces from which on a gallery is saved: fewer are read from the store in a moment.
_SAVED_LEAST: Final = 5000

# Changes in the store, to whatever gallery, after which a file must be written anew: once the store has forgotten those
# since, a start has no use for it.
_FORGOTTEN_AFTER: Final = KEPT_CHANGES // 2


class Unsaved:
    """What happened to galleries since each was saved, by their ids. For one thread at a time."""

    def __init__(self) -> None:
        """Know of no gallery."""
        self._saved_at: dict[int, int | None] = {}
        self._changes: dict[int, int] = {}

    def made(self, gallery_id: int, saved_at: int | None, changes: int) -> None:
        """A gallery was made.

        Args:
            gallery_id: its id.
            saved_at: the change in the store as of which its file was, from which it was made; None if it was built.
            changes: to so many of its faces since.
        """
        self._saved_at[gallery_id] = saved_at
        self._changes[gallery_id] = changes

    def changed(self, gallery_id: int, changes: int) -> None:
        """So many more faces of a gallery have changed; one that was never made is passed over."""
        if gallery_id in self._changes:
            self._changes[gallery_id] += changes

    def changes(self, gallery_id: int) -> int:
        """So many faces of a gallery have changed since it was saved or built."""
        return self._changes[gallery_id]

    def saved(self, gallery_id: int, sequence: int, changes: int) -> None:
        """A gallery was saved as of this change in the store, so many of those to its faces included.

        One that was forgotten meanwhile is known again, so that whoever forgets it deletes the file as well.
        """
        self._saved_at[gallery_id] = sequence
        self._changes[gallery_id] = self._changes.get(gallery_id, changes) - changes

    def due(self, gallery: LoadedGallery, changes: int) -> bool:
        """Whether a gallery is to be saved, if it can be now: not while it is half changed, or has still to settle.

        It is if it is no small one and was never saved, has changed so much since, or the store will soon forget what
        did.
        """
        gallery_id = gallery.key.id
        if gallery_id not in self._changes or len(gallery) < _SAVED_LEAST or not (gallery.whole and gallery.settled):
            return False
        saved_at = self._saved_at[gallery_id]
        return (
            saved_at is None
            or self._changes[gallery_id] >= changes
            or gallery.position.sequence - saved_at >= _FORGOTTEN_AFTER
        )

    def forget_all_but(self, galleries: Set[int]) -> set[int]:
        """Forget galleries, and tell which ones."""
        gone = self._saved_at.keys() - galleries
        for gallery_id in gone:
            del self._saved_at[gallery_id], self._changes[gallery_id]
        return gone
