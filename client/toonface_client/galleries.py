"""What the client for threads can do with galleries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from numpy.typing import ArrayLike

from toonface_client import gallery_calls as calls
from toonface_client.gallery_calls import FacePage
from toonface_client.results import Match
from toonface_client.transport import Transport
from toonface_contract.admin import (
    Change,
    FaceInfo,
    FaceUpdate,
    Galleries,
    GalleryInfo,
    GalleryStats,
    IndexSettings,
    NewFace,
    Verification,
)
from toonface_contract.names import GALLERY_SEARCH
from toonface_contract.options import Group


class GalleryVerbs:
    """The gallery's part of `ToonfaceClient`. Each method takes `timeout`, in seconds for each call that it makes.

    With `dry_run`, a change is checked and answered as if it were made, and nothing is changed.
    """

    _transport: Transport
    _search_rows: int | None = None

    def galleries(self, *, timeout: float | None = None) -> list[GalleryInfo]:
        """All galleries that the token may read, with their sizes and embedders."""
        return self.gallery_list(timeout=timeout).galleries

    def gallery_list(self, *, timeout: float | None = None) -> Galleries:
        """`galleries`, with the server's own embedder."""
        return self._transport.run(calls.list_galleries(), timeout)

    def faces(
        self,
        gallery: str,
        *,
        label: str | None = None,
        ids: Sequence[int] | None = None,
        after_id: int = 0,
        timeout: float | None = None,
    ) -> Iterator[FaceInfo]:
        """The faces of a gallery in the order of their ids, fetched page by page.

        Args:
            gallery: its name.
            label: only faces with this label.
            ids: only these faces, at most 10,000; those that are not there are left out.
            after_id: only faces with higher ids.
            timeout: seconds for each page.
        """
        for page in self.face_pages(gallery, label=label, ids=ids, after_id=after_id, timeout=timeout):
            yield from page.faces

    def face_pages(
        self,
        gallery: str,
        *,
        label: str | None = None,
        ids: Sequence[int] | None = None,
        after_id: int = 0,
        embeddings: bool = False,
        timeout: float | None = None,
    ) -> Iterator[FacePage]:
        """`faces` by the page, with their embeddings where these are asked for."""
        after: int | None = after_id
        while after is not None:
            call = calls.list_faces(gallery, after_id=after, label=label, ids=ids, embeddings=embeddings)
            page = self._transport.run(call, timeout)
            yield page
            after = page.next_after_id

    def stats(self, gallery: str, *, timeout: float | None = None) -> GalleryStats:
        """A gallery in figures."""
        return self._transport.run(calls.stats(gallery), timeout)

    def verify(self, gallery: str, *, timeout: float | None = None) -> Verification:
        """Has the server look at every stored embedding of a gallery, page by page.

        Returns:
            How many faces it has, what is wrong with them, and what the index is worth that is saved of it.
        """
        page = self._transport.run(calls.verify(gallery, 0), timeout)
        faces, problems, saved = page.faces, page.problems, page.saved_index
        while page.next_after_id is not None:
            page = self._transport.run(calls.verify(gallery, page.next_after_id), timeout)
            faces, problems = faces + page.faces, problems + page.problems
        return Verification(faces=faces, problems=problems, sequence=page.sequence, saved_index=saved)

    def search(
        self,
        gallery: str,
        embeddings: ArrayLike,
        *,
        topk: int = 5,
        group: Group = "face",
        timeout: float | None = None,
    ) -> list[tuple[Match, ...]]:
        """The enrolled faces nearest to each of some embeddings, best first.

        Args:
            gallery: its name.
            embeddings: FP32 [N, D], of unit length, from this server's embedder.
            topk: matches for each, 1 to 100.
            group: `face` for the nearest faces; `label` for the nearest labels, each with its nearest face.
            timeout: seconds for each call; there is one for as many embeddings as the server takes at once.
        """
        rows = calls.checked_rows(embeddings)
        if self._search_rows is None:
            answer = self._transport.ask(self._transport.triton.get_model_config, GALLERY_SEARCH, timeout=timeout)
            self._search_rows = max(1, answer.config.max_batch_size)
        matches: list[tuple[Match, ...]] = []
        for start in range(0, len(rows), self._search_rows):
            call = calls.search(gallery, rows[start : start + self._search_rows], topk, group)
            found = self._transport.run(call, timeout)
            matches += found
        return matches

    def build_gallery(
        self,
        gallery: str,
        faces: Sequence[NewFace],
        embeddings: ArrayLike,
        *,
        replace: bool = False,
        embedder: str | None = None,
        index: IndexSettings | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """Makes a gallery of faces, in one transaction.

        Args:
            gallery: its name.
            faces: labels, sources and qualities.
            embeddings: FP32 [N, D], a row for each of `faces`, from this server's embedder.
            replace: whether the gallery may exist, and gives way to the new one.
            embedder: digest of the embedder, where it is known; another than the server's is refused.
            index: how it is searched; the server chooses where it is None.
            dry_run: change nothing.
            timeout: seconds for this call.
        """
        call = calls.build(gallery, faces, embeddings, replace=replace, embedder=embedder, index=index, dry_run=dry_run)
        return self._transport.run(call, timeout)

    def add_faces(
        self,
        gallery: str,
        faces: Sequence[NewFace],
        embeddings: ArrayLike,
        *,
        embedder: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """Enrols faces into an existing gallery, all or none; arguments as for `build_gallery`."""
        return self._transport.run(calls.add(gallery, faces, embeddings, embedder=embedder, dry_run=dry_run), timeout)

    def update_faces(
        self,
        gallery: str,
        faces: Sequence[FaceUpdate],
        embeddings: ArrayLike | None = None,
        *,
        embedder: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """Corrects faces, all or none: what an update leaves None stays. One that is not there is an error.

        Args:
            gallery: its name.
            faces: ids, each once, with their new labels, sources or qualities.
            embeddings: FP32 [N, D], a row for each of `faces`, to take the place of theirs; None keeps those.
            embedder: as for `build_gallery`.
            dry_run: change nothing.
            timeout: seconds for this call.
        """
        call = calls.update(gallery, faces, embeddings, embedder=embedder, dry_run=dry_run)
        return self._transport.run(call, timeout)

    def update_label(
        self,
        gallery: str,
        label: str,
        *,
        set_label: str | None = None,
        set_source: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """Corrects all faces with a label, in one transaction. Older servers do not know the command, and refuse it.

        Args:
            gallery: its name.
            label: the faces'; one that no face has is an error.
            set_label: their new label; None keeps it.
            set_source: their new source; None keeps each one's.
            dry_run: change nothing.
            timeout: seconds for this call.
        """
        call = calls.update_label(gallery, label, set_label=set_label, set_source=set_source, dry_run=dry_run)
        return self._transport.run(call, timeout)

    def remove_faces(
        self,
        gallery: str,
        *,
        ids: Sequence[int] = (),
        labels: Sequence[str] = (),
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """Removes faces by id, by label, or both, all or none. One that is not there is an error."""
        return self._transport.run(calls.remove(gallery, ids, labels, dry_run=dry_run), timeout)

    def configure_gallery(
        self, gallery: str, index: IndexSettings, *, dry_run: bool = False, timeout: float | None = None
    ) -> Change:
        """Lets a gallery be searched in another way; the new index takes over when it is ready."""
        return self._transport.run(calls.configure(gallery, index, dry_run=dry_run), timeout)

    def rename_gallery(
        self,
        gallery: str,
        to: str,
        *,
        replace: bool = False,
        unchanged_since: int | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """Gives a gallery another name.

        Args:
            gallery: its name.
            to: its new one.
            replace: whether a gallery of that name may exist, and gives way in the same transaction.
            unchanged_since: the `sequence` of an answer about the gallery that gives way; if that was changed or
                dropped since, the call is refused (`Conflict`). Older servers refuse the argument.
            dry_run: change nothing.
            timeout: seconds for this call.
        """
        call = calls.rename(gallery, to, replace=replace, unchanged_since=unchanged_since, dry_run=dry_run)
        return self._transport.run(call, timeout)

    def drop_gallery(self, gallery: str, *, dry_run: bool = False, timeout: float | None = None) -> Change:
        """Removes a gallery with all its faces."""
        return self._transport.run(calls.drop(gallery, dry_run=dry_run), timeout)
