"""What a store tells: galleries, their faces in pages, figures, and whether all is sound."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from toonface_contract.admin import FaceInfo, Faces, GalleryInfo, GalleryStats, Verification
from toonface_gallery import listing, refusals, rows, saved_file
from toonface_gallery.database import Database
from toonface_gallery.schema import faces, galleries
from toonface_gallery.snapshot import Snapshot


class StoreReader:
    """The half of GalleryStore that changes nothing. Each answer is of one state of the store."""

    def __init__(self, database: Database) -> None:
        """Read from an open database."""
        self._database = database

    def galleries(self) -> list[GalleryInfo]:
        """All galleries with their counts, in the order of their names."""
        with self._database.reading() as connection:
            return listing.galleries_info(connection)

    def get(self, gallery: str, ids: Collection[int]) -> list[FaceInfo]:
        """Faces of a gallery by id, in ascending order.

        Raises:
            NotFound: `gallery_not_found`; or `not_found`, with the ids that the gallery does not have.
        """
        with self._database.reading() as connection:
            key = rows.require(connection, gallery)
            wanted = select(*listing.DESCRIPTION).where(faces.c.gallery_id == key.id).order_by(faces.c.id)
            found = [
                FaceInfo.model_validate(dict(row))
                for some in rows.portions(sorted(set(ids)))
                for row in connection.execute(wanted.where(faces.c.id.in_(some))).mappings()
            ]
        there = {face.id for face in found}
        refusals.check_none_missing(gallery, [f"id {face}" for face in sorted(set(ids) - there)], "read")
        return found

    def page(self, gallery: str, **which: Unpack[listing.Selection]) -> Faces:
        """Faces of a gallery, in the order of their ids.

        Raises:
            NotFound: `gallery_not_found`.
        """
        with self._database.reading() as connection:
            return listing.page(connection, rows.require(connection, gallery), **which)[0]

    def page_with_embeddings(
        self, gallery: str, **which: Unpack[listing.Selection]
    ) -> tuple[Faces, NDArray[np.float32]]:
        """`page`, with the embeddings FP32 [N,D] of its N faces."""
        with self._database.reading() as connection:
            return listing.page(connection, rows.require(connection, gallery), embeddings=True, **which)

    def sequence(self) -> int:
        """Number of the last change; 0 when nothing ever happened."""
        with self._database.reading() as connection:
            return Snapshot(connection).sequence()

    def stats(self, gallery: str) -> GalleryStats:
        """A gallery in figures.

        Raises:
            NotFound: `gallery_not_found`.
        """
        with self._database.reading() as connection:
            key = rows.require(connection, gallery)
            (info,) = listing.galleries_info(connection, gallery)
            return listing.stats(connection, key, info)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One state of the store, for as long as the block lasts."""
        with self._database.reading() as connection:
            yield Snapshot(connection)

    def verify(self) -> list[str]:
        """What is wrong with the store; nothing when it is sound.

        The database's own check, where it has one, and every face: its gallery must be there, and its embedding of the
        gallery's dimension, finite and of unit length. Takes as long as reading everything.
        """
        found = self._database.damage()
        with self._database.reading() as connection:
            lost = select(func.count()).select_from(faces.outerjoin(galleries)).where(galleries.c.id.is_(None))
            if strays := connection.execute(lost).scalar_one():
                found.append(f"{strays} faces belong to no gallery")
            for key in Snapshot(connection).galleries():
                found += [f"gallery {key.name!r}, {problem}" for problem in listing.verify(connection, key).problems]
        return found

    def verify_page(self, gallery: str, *, after_id: int, limit: int, saved_in: Path | None = None) -> Verification:
        """Look at the embeddings of at most `limit` faces of a gallery with ids above `after_id`.

        Args:
            gallery: its name.
            after_id: 0 for the first page, then the last answer's `next_after_id`.
            limit: 1 or more.
            saved_in: folder of saved indices, for the first page to tell what the gallery's is worth.

        Raises:
            NotFound: `gallery_not_found`.
        """
        with self._database.reading() as connection:
            key = rows.require(connection, gallery)
            page = listing.verify(connection, key, after_id=after_id, limit=limit)
            if after_id or saved_in is None:
                return page
            try:
                found = saved_file.describe(saved_in, key, Snapshot(connection))
            except saved_file.Damaged:
                problem = "its saved index is damaged; the next start builds it anew, and the disk wants a look"
                return page.model_copy(update={"saved_index": "damaged", "problems": [problem, *page.problems]})
            return page.model_copy(update={"saved_index": found})
