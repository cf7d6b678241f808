"""What the store finds and changes, row by row. Each function works in the transaction of its caller."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from toonface_contract.admin import FaceUpdate, IndexSettings, NewFace
from toonface_gallery import refusals
from toonface_gallery.schema import (
    ADDED,
    CONFIGURED,
    CREATED,
    DROPPED,
    RELABELLED,
    REMOVED,
    RENAMED,
    REPLACED,
    changes,
    faces,
    galleries,
)
from toonface_gallery.snapshot import GalleryKey, all_keys, key_of

# Ids or labels in one statement; SQLite takes at most 32,766 parameters (https://sqlite.org/limits.html).
_STATEMENT_KEYS: Final = 1000

# Changes that are kept, at least; a twentieth more gather before the older ones are trimmed. A follower looks ten times
# a second, but an index may take minutes to build or to be saved, and a server may start from one that is old: if the
# changes since are gone by then, whole galleries are read. A change is a row of some 40 bytes.
KEPT_CHANGES: Final = 2_000_000

_Key = TypeVar("_Key", int, str)


def find(connection: Connection, gallery: str) -> GalleryKey | None:
    """The gallery of this name, or None."""
    row = connection.execute(all_keys().where(galleries.c.name == gallery)).one_or_none()
    return None if row is None else key_of(row)


def require(connection: Connection, gallery: str) -> GalleryKey:
    """The gallery of this name.

    Raises:
        NotFound: `gallery_not_found`.
    """
    key = find(connection, gallery)
    if key is None:
        raise refusals.gallery_not_found(gallery, connection.execute(select(galleries.c.name)).scalars())
    return key


def create(connection: Connection, gallery: str, embedder: str, dimension: int, index: IndexSettings) -> GalleryKey:
    """Make an empty gallery of a name that no other has."""
    row = {
        "name": gallery,
        "embedder": embedder,
        "dimension": dimension,
        "created": datetime.now(UTC),
        "index_type": index.type,
        "metric": index.metric,
    }
    made = connection.execute(insert(galleries).returning(galleries.c.id), row).scalar_one()
    key = GalleryKey(made, gallery, dimension, embedder, index)
    _log(connection, key, CREATED, [None])
    return key


def configure(connection: Connection, key: GalleryKey, index: IndexSettings) -> None:
    """Let a gallery be searched in another way."""
    new = update(galleries).where(galleries.c.id == key.id).values(index_type=index.type, metric=index.metric)
    connection.execute(new)
    _log(connection, key, CONFIGURED, [None])


def rename(connection: Connection, key: GalleryKey, name: str) -> None:
    """Give a gallery a name that no other has."""
    connection.execute(update(galleries).where(galleries.c.id == key.id).values(name=name))
    _log(connection, key, RENAMED, [None])


def drop(connection: Connection, key: GalleryKey) -> None:
    """Remove a gallery and all its faces."""
    connection.execute(delete(faces).where(faces.c.gallery_id == key.id))
    connection.execute(delete(galleries).where(galleries.c.id == key.id))
    _log(connection, key, DROPPED, [None])


def select_faces(
    connection: Connection, key: GalleryKey, column: ColumnElement[_Key], values: Collection[_Key]
) -> list[tuple[int, str]]:
    """Ids and labels of a gallery's faces that have one of the values in the column."""
    wanted = select(faces.c.id, faces.c.label).where(faces.c.gallery_id == key.id)
    return [
        (face, label) for some in portions(values) for face, label in connection.execute(wanted.where(column.in_(some)))
    ]


def portions(values: Collection[_Key]) -> list[list[_Key]]:
    """The values in lists that are short enough for one statement."""
    asked = list(values)
    return [asked[start : start + _STATEMENT_KEYS] for start in range(0, len(asked), _STATEMENT_KEYS)]


def insert_faces(
    connection: Connection, key: GalleryKey, new_faces: Sequence[NewFace], embeddings: NDArray[np.float32]
) -> list[int]:
    """Enrol faces, and return their ids in the same order. The change is for the caller to log."""
    now = datetime.now(UTC)
    new = [
        {
            "gallery_id": key.id,
            "label": face.label,
            "embedding": vector.tobytes(),
            "source": face.source,
            "created": now,
            "quality": face.quality,
        }
        for face, vector in zip(new_faces, embeddings.astype("<f4", copy=False), strict=True)
    ]
    if not new:
        return []
    # Ids ascend and are never used again, and no other writer is about, so what is above the last one is new, in order.
    # RETURNING would make SQLite insert row by row.
    last = connection.execute(select(func.coalesce(func.max(faces.c.id), 0))).scalar_one()
    connection.execute(insert(faces), new)
    return list(connection.execute(select(faces.c.id).where(faces.c.id > last).order_by(faces.c.id)).scalars())


def log_added(connection: Connection, key: GalleryKey, ids: Sequence[int]) -> None:
    """Log faces as added to a gallery. Those that a gallery is made with need no log: its own change covers them."""
    _log(connection, key, ADDED, ids)


def update_faces(
    connection: Connection, key: GalleryKey, updates: Sequence[FaceUpdate], embeddings: NDArray[np.float32] | None
) -> None:
    """Change faces of a gallery that are there, and log it. What an update leaves None stays as it is."""
    given: list[bytes | None] = [None] * len(updates)
    if embeddings is not None:
        given = [vector.tobytes() for vector in embeddings.astype("<f4", copy=False)]
    columns = (faces.c.label, faces.c.source, faces.c.quality, faces.c.embedding)
    statement = (
        update(faces)
        .where(faces.c.id == bindparam("face"), faces.c.gallery_id == key.id)
        .values(
            {column: func.coalesce(bindparam(f"new_{column.name}", type_=column.type), column) for column in columns}
        )
    )
    new = [
        {
            "face": change.id,
            "new_label": change.label,
            "new_source": change.source,
            "new_quality": change.quality,
            "new_embedding": vector,
        }
        for change, vector in zip(updates, given, strict=True)
    ]
    if new:
        connection.execute(statement, new)
    _log(connection, key, RELABELLED if embeddings is None else REPLACED, [change.id for change in updates])


def delete_faces(connection: Connection, key: GalleryKey, ids: Sequence[int]) -> None:
    """Remove faces of a gallery, and log it."""
    if ids:
        statement = delete(faces).where(faces.c.id == bindparam("face"), faces.c.gallery_id == key.id)
        connection.execute(statement, [{"face": face} for face in ids])
    _log(connection, key, REMOVED, ids)


def trim(connection: Connection, keep: int = KEPT_CHANGES) -> None:
    """Forget all but the last `keep` changes, once there are a twentieth more.

    No follower is harmed: one that has not come as far as the oldest change that is left finds its own change gone, and
    reads whole galleries instead.
    """
    # Two queries in one: of both ends together SQLite reads all that lies between, 9 ms of 100,000 changes.
    ends = (select(end(changes.c.sequence)).scalar_subquery() for end in (func.min, func.max))
    first, last = connection.execute(select(*ends)).one()
    if first is not None and last - first >= keep + keep // 20:
        connection.execute(delete(changes).where(changes.c.sequence <= last - keep))


def _log(connection: Connection, key: GalleryKey, kind: str, face_ids: Sequence[int | None]) -> None:
    if face_ids:
        # One stamp serves a whole transaction: its changes are seen together or not at all.
        stamp = secrets.randbits(63)
        new = [{"gallery_id": key.id, "kind": kind, "face_id": face, "stamp": stamp} for face in face_ids]
        connection.execute(insert(changes), new)
