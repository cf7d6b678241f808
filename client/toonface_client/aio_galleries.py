"""What the client for asyncio can do with galleries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from numpy.typing import ArrayLike

from toonface_client import gallery_calls as calls
from toonface_client.aio_transport import AsyncTransport
from toonface_client.gallery_calls import FacePage
from toonface_client.results import Match
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


class AsyncGalleryVerbs:
    """The gallery's part of `AsyncToonfaceClient`: see `GalleryVerbs`."""

    _transport: AsyncTransport
    _search_rows: int | None = None

    async def galleries(self, *, timeout: float | None = None) -> list[GalleryInfo]:
        """As `ToonfaceClient.galleries`."""
        return (await self.gallery_list(timeout=timeout)).galleries

    async def gallery_list(self, *, timeout: float | None = None) -> Galleries:
        """As `ToonfaceClient.gallery_list`."""
        return await self._transport.run(calls.list_galleries(), timeout)

    async def faces(
        self,
        gallery: str,
        *,
        label: str | None = None,
        ids: Sequence[int] | None = None,
        after_id: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[FaceInfo]:
        """As `ToonfaceClient.faces`, for `async for`."""
        async for page in self.face_pages(gallery, label=label, ids=ids, after_id=after_id, timeout=timeout):
            for face in page.faces:
                yield face

    async def face_pages(
        self,
        gallery: str,
        *,
        label: str | None = None,
        ids: Sequence[int] | None = None,
        after_id: int = 0,
        embeddings: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[FacePage]:
        """As `ToonfaceClient.face_pages`, for `async for`."""
        after: int | None = after_id
        while after is not None:
            call = calls.list_faces(gallery, after_id=after, label=label, ids=ids, embeddings=embeddings)
            page = await self._transport.run(call, timeout)
            yield page
            after = page.next_after_id

    async def stats(self, gallery: str, *, timeout: float | None = None) -> GalleryStats:
        """As `ToonfaceClient.stats`."""
        return await self._transport.run(calls.stats(gallery), timeout)

    async def verify(self, gallery: str, *, timeout: float | None = None) -> Verification:
        """As `ToonfaceClient.verify`."""
        page = await self._transport.run(calls.verify(gallery, 0), timeout)
        faces, problems, saved = page.faces, page.problems, page.saved_index
        while page.next_after_id is not None:
            page = await self._transport.run(calls.verify(gallery, page.next_after_id), timeout)
            faces, problems = faces + page.faces, problems + page.problems
        return Verification(faces=faces, problems=problems, sequence=page.sequence, saved_index=saved)

    async def search(
        self,
        gallery: str,
        embeddings: ArrayLike,
        *,
        topk: int = 5,
        group: Group = "face",
        timeout: float | None = None,
    ) -> list[tuple[Match, ...]]:
        """As `ToonfaceClient.search`."""
        rows = calls.checked_rows(embeddings)
        if self._search_rows is None:
            answer = await self._transport.ask(self._transport.triton.get_model_config, GALLERY_SEARCH, timeout=timeout)
            self._search_rows = max(1, answer.config.max_batch_size)
        matches: list[tuple[Match, ...]] = []
        for start in range(0, len(rows), self._search_rows):
            call = calls.search(gallery, rows[start : start + self._search_rows], topk, group)
            found = await self._transport.run(call, timeout)
            matches += found
        return matches

    async def build_gallery(
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
        """As `ToonfaceClient.build_gallery`."""
        call = calls.build(gallery, faces, embeddings, replace=replace, embedder=embedder, index=index, dry_run=dry_run)
        return await self._transport.run(call, timeout)

    async def add_faces(
        self,
        gallery: str,
        faces: Sequence[NewFace],
        embeddings: ArrayLike,
        *,
        embedder: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """As `ToonfaceClient.add_faces`."""
        return await self._transport.run(
            calls.add(gallery, faces, embeddings, embedder=embedder, dry_run=dry_run), timeout
        )

    async def update_faces(
        self,
        gallery: str,
        faces: Sequence[FaceUpdate],
        embeddings: ArrayLike | None = None,
        *,
        embedder: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """As `ToonfaceClient.update_faces`."""
        call = calls.update(gallery, faces, embeddings, embedder=embedder, dry_run=dry_run)
        return await self._transport.run(call, timeout)

    async def update_label(
        self,
        gallery: str,
        label: str,
        *,
        set_label: str | None = None,
        set_source: str | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """As `ToonfaceClient.update_label`."""
        call = calls.update_label(gallery, label, set_label=set_label, set_source=set_source, dry_run=dry_run)
        return await self._transport.run(call, timeout)

    async def remove_faces(
        self,
        gallery: str,
        *,
        ids: Sequence[int] = (),
        labels: Sequence[str] = (),
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """As `ToonfaceClient.remove_faces`."""
        return await self._transport.run(calls.remove(gallery, ids, labels, dry_run=dry_run), timeout)

    async def configure_gallery(
        self, gallery: str, index: IndexSettings, *, dry_run: bool = False, timeout: float | None = None
    ) -> Change:
        """As `ToonfaceClient.configure_gallery`."""
        return await self._transport.run(calls.configure(gallery, index, dry_run=dry_run), timeout)

    async def rename_gallery(
        self,
        gallery: str,
        to: str,
        *,
        replace: bool = False,
        unchanged_since: int | None = None,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Change:
        """As `ToonfaceClient.rename_gallery`."""
        call = calls.rename(gallery, to, replace=replace, unchanged_since=unchanged_since, dry_run=dry_run)
        return await self._transport.run(call, timeout)

    async def drop_gallery(self, gallery: str, *, dry_run: bool = False, timeout: float | None = None) -> Change:
        """As `ToonfaceClient.drop_gallery`."""
        return await self._transport.run(calls.drop(gallery, dry_run=dry_run), timeout)
