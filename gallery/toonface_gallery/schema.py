"""Tables of the gallery store.

`changes` is what live indices follow: one row for each face added, replaced, relabelled or removed, and for each
gallery created, configured, renamed or dropped. Its sequence numbers and the ids of galleries and faces are never
reused (SQLite: AUTOINCREMENT; PostgreSQL: sequences), so an id that a client or an index remembers can never come to
mean another face. Its random `stamp` tells one history from another: whoever followed this store up to a change finds
that change's stamp in it, unless the store was restored from an older copy, or the change has been trimmed.

The tables are made and brought up to date by the Alembic scripts in `migrations/`; a test holds those against this one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

# The newest of the scripts in `migrations/versions`; a store remembers the one that it was brought to.
SCHEMA_REVISION: Final = "0002"

# Values of `changes.kind`. Rows of these name a face; `replaced` is an embedding that gave way to another.
ADDED: Final = "added"
REMOVED: Final = "removed"
REPLACED: Final = "replaced"
RELABELLED: Final = "relabelled"
# Rows of these name a whole gallery; `configured` is one whose index settings changed.
CREATED: Final = "created"
CONFIGURED: Final = "configured"
RENAMED: Final = "renamed"
DROPPED: Final = "dropped"

# SQLite numbers rows by itself only where the column is called INTEGER, which holds 64 bits there.
_Id = BigInteger().with_variant(Integer, "sqlite")


class _UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides. SQLite keeps no time zones, so they come off on the way in."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


metadata = MetaData()

galleries = Table(
    "galleries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("dimension", Integer, nullable=False),
    Column("embedder", String, nullable=False),
    Column("created", _UtcDateTime, nullable=False),
    # IndexSettings of toonface_contract.admin; no type is the automatic choice.
    Column("index_type", String),
    Column("metric", String, nullable=False, server_default="IP"),
    sqlite_autoincrement=True,
)

faces = Table(
    "faces",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("gallery_id", ForeignKey(galleries.c.id), nullable=False),
    Column("label", String, nullable=False),
    # Float32, little-endian, of unit length.
    Column("embedding", LargeBinary, nullable=False),
    Column("source", String, nullable=False),
    Column("created", _UtcDateTime, nullable=False),
    # 0 to 1, or unknown.
    Column("quality", Float),
    # The first serves pages in the order of ids, the second removal, pages and counts by label.
    Index("faces_by_gallery", "gallery_id", "id"),
    Index("faces_by_label", "gallery_id", "label"),
    sqlite_autoincrement=True,
)

# No foreign keys here: the history outlives the faces and galleries that it names.
changes = Table(
    "changes",
    metadata,
    Column("sequence", _Id, primary_key=True),
    Column("gallery_id", _Id, nullable=False),
    Column("kind", String, nullable=False),
    Column("face_id", _Id),
    # 63 random bits; 0 in changes from before there were stamps.
    Column("stamp", BigInteger, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)
