"""What the store finds and changes, row by row. Each function works in the transaction of its caller."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select

from toonface_contract.admin import NewFace
from toonface_gallery import refusals
from toonface_gallery.schema import ADDED, CREATED, DROPPED, REMOVED, changes, faces, galleries
from toonface_gallery.snapshot import GalleryKey

# Ids or labels in one statement; SQLite takes at most 32,766 parameters (https://sqlite.org/limits.html).
_STATEMENT_KEYS: Final = 1000

_Key = TypeVar("_Key", int, str)


def find(connection: Connection, gallery: str) -> GalleryKey | None:
    """The gallery of this name, or None."""
    wanted = select(galleries.c.id, galleries.c.name, galleries.c.dimension, galleries.c.embedder)
    row = connection.execute(wanted.where(galleries.c.name == gallery)).one_or_none()
    return None if row is None else GalleryKey(*row)


def require(connection: Connection, gallery: str) -> GalleryKey:
    """The gallery of this name.

    Raises:
        NotFound: `gallery_not_found`.
    """
    key = find(connection, gallery)
    if key is None:
        raise refusals.gallery_not_found(gallery, connection.execute(select(galleries.c.name)).scalars())
    return key


def create(connection: Connection, gallery: str, embedder: str, dimension: int) -> GalleryKey:
    """Make an empty gallery of a name that no other has."""
    row = {"name": gallery, "embedder": embedder, "dimension": dimension, "created": datetime.now(UTC)}
    made = connection.execute(insert(galleries).returning(galleries.c.id), row).scalar_one()
    key = GalleryKey(made, gallery, dimension, embedder)
    _log(connection, key, CREATED, [None])
    return key


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
    asked = list(values)
    return [
        (face, label)
        for start in range(0, len(asked), _STATEMENT_KEYS)
        for face, label in connection.execute(wanted.where(column.in_(asked[start : start + _STATEMENT_KEYS])))
    ]


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
        }
        for face, vector in zip(new_faces, embeddings.astype("<f4", copy=False), strict=True)
    ]
    if not new:
        return []
    ids = connection.execute(insert(faces).returning(faces.c.id, sort_by_parameter_order=True), new).scalars()
    return list(ids)


def log_added(connection: Connection, key: GalleryKey, ids: Sequence[int]) -> None:
    """Log faces as added to a gallery. Those that a gallery is made with need no log: its own change covers them."""
    _log(connection, key, ADDED, ids)


def delete_faces(connection: Connection, key: GalleryKey, ids: Sequence[int]) -> None:
    """Remove faces of a gallery, and log it."""
    if ids:
        statement = delete(faces).where(faces.c.id == bindparam("face"), faces.c.gallery_id == key.id)
        connection.execute(statement, [{"face": face} for face in ids])
    _log(connection, key, REMOVED, ids)


def _log(connection: Connection, key: GalleryKey, kind: str, face_ids: Sequence[int | None]) -> None:
    if face_ids:
        new = [{"gallery_id": key.id, "kind": kind, "face_id": face} for face in face_ids]
        connection.execute(insert(changes), new)
