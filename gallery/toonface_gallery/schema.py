"""Tables of the gallery store.

`changes` is what live indices follow: one row for each face added or removed and for each gallery created or dropped.
Its sequence numbers and the ids of galleries and faces are never reused (SQLite: AUTOINCREMENT), so an id that a client
or an index remembers can never come to mean another face.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

# Raised by one when the tables change; a store remembers the version it was made with.
SCHEMA_VERSION: Final = 1

# Values of `changes.kind`. Rows of the first two name a face, rows of the last two a whole gallery.
ADDED: Final = "added"
REMOVED: Final = "removed"
CREATED: Final = "created"
DROPPED: Final = "dropped"


class _UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides. SQLite keeps no time zones, so they come off on the way in."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

galleries = Table(
    "galleries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("dimension", Integer, nullable=False),
    Column("embedder", String, nullable=False),
    Column("created", _UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

faces = Table(
    "faces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("gallery_id", ForeignKey(galleries.c.id), nullable=False),
    Column("label", String, nullable=False),
    # Float32, little-endian, of unit length.
    Column("embedding", LargeBinary, nullable=False),
    Column("source", String, nullable=False),
    Column("created", _UtcDateTime, nullable=False),
    # The first serves pages in the order of ids, the second removal, pages and counts by label.
    Index("faces_by_gallery", "gallery_id", "id"),
    Index("faces_by_label", "gallery_id", "label"),
    sqlite_autoincrement=True,
)

# No foreign keys here: the history outlives the faces and galleries that it names.
changes = Table(
    "changes",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("gallery_id", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("face_id", Integer),
    sqlite_autoincrement=True,
)
