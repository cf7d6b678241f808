"""What galleries hold: sizes, pages of faces, and figures. Each function works in the transaction of its caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, distinct, func, select

from toonface_contract.admin import FaceInfo, Faces, GalleryInfo, GalleryStats, LabelCount, Verification
from toonface_gallery.embeddings import flaws
from toonface_gallery.schema import faces, galleries
from toonface_gallery.snapshot import GalleryKey, Snapshot

# The columns of a FaceInfo.
DESCRIPTION: Final = (faces.c.id, faces.c.label, faces.c.source, faces.c.created, faces.c.quality)

# Faces that are held in memory at once when all are looked at.
_CHECKED: Final = 8192

# Labels that the figures name.
_MOST: Final = 10


class Selection(TypedDict, total=False):
    """Which faces of a gallery a page has.

    Attributes:
        after_id: those with higher ids: 0, the default, for the first page, then the last answer's `next_after_id`.
        limit: so many at most, 1 or more; 1,000 by default.
        label: only those of this label.
        ids: only these, of which those that are not there are left out.
    """

    after_id: int
    limit: int
    label: str | None
    ids: Sequence[int] | None


def galleries_info(connection: Connection, name: str | None = None) -> list[GalleryInfo]:
    """Galleries with their counts, in the order of their names: all, or the one of this name."""
    wanted = (
        select(
            galleries.c.name,
            func.count(faces.c.id).label("faces"),
            func.count(distinct(faces.c.label)).label("labels"),
            galleries.c.dimension,
            galleries.c.embedder,
            galleries.c.created,
            galleries.c.index_type,
            galleries.c.metric,
        )
        .outerjoin(faces)
        .group_by(galleries.c.id)
        .order_by(galleries.c.name)
    )
    if name is not None:
        wanted = wanted.where(galleries.c.name == name)
    return [GalleryInfo.model_validate(dict(row)) for row in connection.execute(wanted).mappings()]


def page(
    connection: Connection,
    key: GalleryKey,
    *,
    after_id: int = 0,
    limit: int = 1000,
    label: str | None = None,
    ids: Sequence[int] | None = None,
    embeddings: bool = False,
) -> tuple[Faces, NDArray[np.float32]]:
    """Faces of a gallery with ids above `after_id`, at most `limit` of them, in the order of their ids.

    Args:
        connection: with an open transaction.
        key: the gallery.
        after_id: see Selection; so are `limit`, `label` and `ids`.
        limit: see there.
        label: see there.
        ids: see there.
        embeddings: whether to read them too.

    Returns:
        The page, and its embeddings FP32 [N,D], or [0,D] where they were not asked for.
    """
    wanted: Select[Any] = select(*DESCRIPTION, *([faces.c.embedding] if embeddings else ()))
    wanted = wanted.where(faces.c.gallery_id == key.id, faces.c.id > after_id)
    if label is not None:
        wanted = wanted.where(faces.c.label == label)
    if ids is not None:
        wanted = wanted.where(faces.c.id.in_(ids))
    rows = connection.execute(wanted.order_by(faces.c.id).limit(limit + 1)).mappings().all()
    found = [FaceInfo.model_validate(dict(row)) for row in rows[:limit]]
    vectors = np.frombuffer(b"".join(row["embedding"] for row in rows[:limit]) if embeddings else b"", "<f4")
    following = found[-1].id if len(rows) > limit else None
    listed = Faces(faces=found, next_after_id=following, sequence=Snapshot(connection).sequence())
    return listed, vectors.reshape(-1, key.dimension)


def stats(connection: Connection, key: GalleryKey, info: GalleryInfo) -> GalleryStats:
    """A gallery in figures; `info` has its sizes."""
    mine = faces.c.gallery_id == key.id
    by_label = select(faces.c.label, func.count().label("faces")).where(mine).group_by(faces.c.label).subquery()
    most = select(by_label).order_by(by_label.c.faces.desc(), by_label.c.label).limit(_MOST)
    single = select(func.count()).select_from(by_label).where(by_label.c.faces == 1)
    figures = select(
        func.count(faces.c.quality), func.avg(faces.c.quality), func.min(faces.c.created), func.max(faces.c.created)
    )
    rated, quality, first, last = connection.execute(figures.where(mine)).one()
    return GalleryStats(
        gallery=info,
        single=connection.execute(single).scalar_one(),
        most=[LabelCount(label=row.label, faces=row.faces) for row in connection.execute(most)],
        rated=rated,
        quality=quality,
        first=first,
        last=last,
        sequence=Snapshot(connection).sequence(),
    )


def verify(connection: Connection, key: GalleryKey, *, after_id: int = 0, limit: int | None = None) -> Verification:
    """Look at a gallery's embeddings: their length, and that they are finite and of unit length.

    Args:
        connection: with an open transaction.
        key: the gallery.
        after_id: 0 for the first page, then the last answer's `next_after_id`.
        limit: faces to look at, 1 or more; all where it is None.
    """
    wanted = select(faces.c.id, faces.c.embedding).where(faces.c.gallery_id == key.id, faces.c.id > after_id)
    wanted = wanted.order_by(faces.c.id).limit(limit)
    seen, last, problems = 0, after_id, []
    for part in connection.execute(wanted, execution_options={"yield_per": _CHECKED}).partitions():
        problems += [
            f"face {face}: {flaw}" for face, flaw in flaws([(face, data) for face, data in part], key.dimension)
        ]
        seen, last = seen + len(part), part[-1].id
    return Verification(
        faces=seen,
        problems=problems,
        next_after_id=last if seen == limit else None,
        sequence=Snapshot(connection).sequence(),
    )
