"""A gallery that is made aside, portion by portion, and takes another's place when it is complete."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from numpy.typing import ArrayLike

from toonface_client.galleries import GalleryVerbs
from toonface_contract.admin import Change, IndexSettings, NewFace
from toonface_contract.errors import ToonfaceError
from toonface_contract.names import STAGING_MARK

_LONGEST_STEM = 40  # with the mark and eight digits, a gallery's name may have 64 characters


class Staging:
    """Makes a gallery under another name, for as long as the block lasts. Only `switch` changes the one it is for.

    When the block is left without it, what was made aside is dropped. A process that is killed leaves it behind, under
    a name that says what it is; `toonface gallery drop` removes it.
    """

    def __init__(self, client: GalleryVerbs, gallery: str, index: IndexSettings | None = None) -> None:
        """Prepare.

        Args:
            client: a client that may write.
            gallery: the gallery to make or replace.
            index: how it is searched.
        """
        self._client = client
        self._gallery = gallery
        self._index = index
        self._switched = False
        self.name = f"{gallery[:_LONGEST_STEM]}{STAGING_MARK}{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> Self:
        self._client.build_gallery(self.name, [], [], index=self._index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._switched:
            return
        try:
            self._client.drop_gallery(self.name)
        except ToonfaceError:
            if error is None:
                raise  # else the reason why the block was left says more

    def add(self, faces: Sequence[NewFace], embeddings: ArrayLike, embedder: str | None = None) -> None:
        """Add faces, aside; `embedder` as in `build_gallery`."""
        self._client.add_faces(self.name, faces, embeddings, embedder=embedder)

    def switch(self) -> Change:
        """Let the gallery take its place, in one transaction."""
        change = self._client.rename_gallery(self.name, self._gallery, replace=True)
        self._switched = True
        return change
