"""A gallery that is made aside, portion by portion, and takes another's place when it is complete."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from numpy.typing import ArrayLike

from toonface_client.galleries import GalleryVerbs
from toonface_contract.admin import Change, Galleries, IndexSettings, NewFace
from toonface_contract.errors import InvalidRequest, ToonfaceError
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

    def switch(self, *, replace: bool, unchanged_since: int | None = None) -> Change:
        """Let the gallery take its place, in one transaction.

        Args:
            replace: whether a gallery that has the name by now gives way.
            unchanged_since: the `sequence` of an answer about that gallery, which must not have been changed since. A
                server that is too old to hold it to that replaces it all the same: look just before.

        Raises:
            AlreadyExists: there is a gallery of the name, and `replace` is not set.
            Conflict: it was changed or dropped since `unchanged_since`.
        """
        # Servers that tell no sequence are too old for this, too.
        change = self._renamed(replace, unchanged_since or None)
        self._switched = True
        return change

    def _renamed(self, replace: bool, unchanged_since: int | None) -> Change:
        try:
            return self._client.rename_gallery(
                self.name, self._gallery, replace=replace, unchanged_since=unchanged_since
            )
        except InvalidRequest as error:
            # Fields that a server does not know it refuses by name.
            if unchanged_since is None or error.code != "invalid_command" or "unchanged_since" not in error.message:
                raise
        return self._client.rename_gallery(self.name, self._gallery, replace=replace)


def index_of(galleries: Galleries, name: str) -> IndexSettings | None:
    """How a gallery is searched, for one that takes its place; None where there is none."""
    found = next((each for each in galleries.galleries if each.name == name), None)
    return None if found is None else IndexSettings.model_validate({"type": found.index_type, "metric": found.metric})
