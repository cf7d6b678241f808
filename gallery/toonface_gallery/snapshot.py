"""What a live index needs of the store: whole galleries, and what changed in them since it last looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, func, select

from toonface_contract.admin import FaceInfo, IndexSettings
from toonface_gallery.schema import (
    ADDED,
    CONFIGURED,
    CREATED,
    RELABELLED,
    REMOVED,
    REPLACED,
    changes,
    faces,
    galleries,
)

# Faces held in memory at once while a gallery is read: 16 MiB at 512 dimensions.
_CHUNK: Final = 8192

# Ids in one statement; SQLite takes at most 32,766 parameters (https://sqlite.org/limits.html).
_STATEMENT_KEYS: Final = 1000


@dataclass(frozen=True, slots=True)
class GalleryKey:
    """One gallery as the store knows it. `embedder` is the digest of the model that made its embeddings."""

    id: int
    name: str
    dimension: int
    embedder: str
    index: IndexSettings = IndexSettings()


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the store's history: the number of a change, 0 for none, and its random stamp."""

    sequence: int = 0
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class EnrolledFaces:
    """Some N faces of one gallery, in the order of their ids.

    Attributes:
        ids: INT64 [N].
        labels: N labels.
        embeddings: FP32 [N,D], of unit length.
    """

    ids: NDArray[np.int64]
    labels: list[str]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredFaces:
    """Some N faces of one gallery with all that the store knows of them, in the order of their ids.

    Attributes:
        faces: N descriptions.
        embeddings: FP32 [N,D], of unit length.
    """

    faces: list[FaceInfo]
    embeddings: NDArray[np.float32]


def all_keys() -> Select[Any]:
    """All galleries, as rows for `key_of`."""
    return select(
        galleries.c.id,
        galleries.c.name,
        galleries.c.dimension,
        galleries.c.embedder,
        galleries.c.index_type,
        galleries.c.metric,
    )


def key_of(row: Row[Any]) -> GalleryKey:
    """The gallery of one row of `all_keys`."""
    return GalleryKey(
        row.id, row.name, row.dimension, row.embedder, IndexSettings(type=row.index_type, metric=row.metric)
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """What changes did to a gallery: what `Snapshot.removed`, `added` and `relabelled` tell. Its length is in faces."""

    removed: list[int]
    added: list[EnrolledFaces]
    relabelled: list[tuple[int, str]]

    def __len__(self) -> int:
        """Faces that were removed, added or relabelled; one whose embedding was replaced counts twice."""
        return len(self.removed) + sum(len(faces.ids) for faces in self.added) + len(self.relabelled)


class Snapshot:
    """One state of the store. Everything read from it belongs together, whatever is written meanwhile."""

    def __init__(self, connection: Connection) -> None:
        """Read over this connection, whose transaction must stay open while the snapshot is used."""
        self._connection = connection

    def position(self) -> Position:
        """The last change; number 0 when nothing ever happened."""
        last = select(changes.c.sequence, changes.c.stamp).order_by(changes.c.sequence.desc()).limit(1)
        row = self._connection.execute(last).one_or_none()
        return Position() if row is None else Position(*row)

    def sequence(self) -> int:
        """Number of the last change; 0 when nothing ever happened."""
        return self.position().sequence

    def position_after(self, since: int, count: int) -> Position:
        """The `count`-th of the changes above `since`; the last one of all if there are fewer."""
        above = select(changes.c.sequence, changes.c.stamp).where(changes.c.sequence > since)
        row = self._connection.execute(above.order_by(changes.c.sequence).offset(count - 1).limit(1)).one_or_none()
        return self.position() if row is None else Position(*row)

    def follows(self, position: Position) -> bool:
        """Whether what happened since `position` can be told: it is of this history, and has not been trimmed."""
        wanted = select(changes.c.stamp).where(changes.c.sequence == position.sequence)
        return self._connection.execute(wanted).scalar_one_or_none() == position.stamp

    def remembers(self, sequence: int) -> bool:
        """Whether the change of this number, and so each later one, is still there."""
        wanted = select(changes.c.sequence).where(changes.c.sequence == sequence)
        return self._connection.execute(wanted).scalar_one_or_none() is not None

    def galleries(self) -> list[GalleryKey]:
        """All galleries, in the order of their names."""
        return [key_of(row) for row in self._connection.execute(all_keys().order_by(galleries.c.name))]

    def count(self, gallery: GalleryKey) -> int:
        """Number of the gallery's faces."""
        wanted = select(func.count()).select_from(faces).where(faces.c.gallery_id == gallery.id)
        return int(self._connection.execute(wanted).scalar_one())

    def faces(self, gallery: GalleryKey, after: int = 0, limit: int | None = None) -> Iterator[EnrolledFaces]:
        """Faces of a gallery with ids above `after`, at most `limit` of them or all, in portions."""
        mine = _enrolled().where(faces.c.gallery_id == gallery.id, faces.c.id > after)
        return self._portions(mine.limit(limit), gallery.dimension)

    def stored(self, gallery: GalleryKey) -> Iterator[StoredFaces]:
        """All faces of a gallery with all that is known of them, in portions, for exports."""
        columns = (faces.c.id, faces.c.label, faces.c.source, faces.c.created, faces.c.quality)
        wanted = select(*columns, faces.c.embedding).where(faces.c.gallery_id == gallery.id).order_by(faces.c.id)
        result = self._connection.execute(wanted, execution_options={"yield_per": _CHUNK})
        for rows in result.mappings().partitions():
            infos = [FaceInfo.model_validate(dict(row)) for row in rows]
            yield StoredFaces(infos, _matrix([row["embedding"] for row in rows], gallery.dimension))

    def sample(self, gallery: GalleryKey, count: int) -> NDArray[np.float32]:
        """Embeddings of `count` of a gallery's faces, or of all when it has fewer, chosen at random: FP32 [N,D]."""
        ids = np.fromiter(
            self._connection.execute(select(faces.c.id).where(faces.c.gallery_id == gallery.id)).scalars(), np.int64
        )
        # Seeded, so that the same gallery gives the same index.
        chosen = np.sort(np.random.default_rng(0).permutation(ids)[:count]).tolist()
        wanted = select(faces.c.embedding)
        embeddings: list[bytes] = []
        for start in range(0, len(chosen), _STATEMENT_KEYS):
            some = wanted.where(faces.c.id.in_(chosen[start : start + _STATEMENT_KEYS]))
            embeddings += self._connection.execute(some).scalars()
        return _matrix(embeddings, gallery.dimension)

    def remade(self, since: int) -> set[int]:
        """Ids of the galleries that changes with a sequence above `since` created, or gave other index settings."""
        return self._named(since, changes.c.kind.in_((CREATED, CONFIGURED)))

    def changed(self, since: int) -> set[int]:
        """Ids of the galleries that changes with a sequence above `since` name."""
        return self._named(since)

    def changes(self, gallery: GalleryKey, since: int, until: int | None = None) -> Changes:
        """What changes above `since`, and with `until` up to there, did to a gallery; see `added`."""
        return Changes(
            self.removed(gallery, since, until),
            list(self.added(gallery, since, until)),
            self.relabelled(gallery, since, until),
        )

    def added(self, gallery: GalleryKey, since: int, until: int | None = None) -> Iterator[EnrolledFaces]:
        """Faces of a gallery that changes above `since` added, or gave other embeddings, and that are still there.

        With `until`, only those that changes up to there touched; they are as they are now all the same.
        """
        touched = self._touched(gallery, since, until, (ADDED, REPLACED))
        return self._portions(_enrolled().where(faces.c.id.in_(touched)), gallery.dimension)

    def removed(self, gallery: GalleryKey, since: int, until: int | None = None) -> list[int]:
        """Ids of the faces of a gallery that changes above `since` removed, or gave other embeddings; see `added`."""
        return list(self._connection.execute(self._touched(gallery, since, until, (REMOVED, REPLACED))).scalars())

    def relabelled(self, gallery: GalleryKey, since: int, until: int | None = None) -> list[tuple[int, str]]:
        """Ids and present labels of the faces that changes above `since` updated, but for embeddings; see `added`."""
        touched = self._touched(gallery, since, until, (RELABELLED,))
        wanted = select(faces.c.id, faces.c.label).where(faces.c.id.in_(touched))
        return [(face, label) for face, label in self._connection.execute(wanted)]

    def _named(self, since: int, *conditions: Any) -> set[int]:
        wanted = select(changes.c.gallery_id).where(changes.c.sequence > since, *conditions).distinct()
        return set(self._connection.execute(wanted).scalars())

    def _touched(self, gallery: GalleryKey, since: int, until: int | None, kinds: tuple[str, ...]) -> Select[int]:
        wanted = select(changes.c.face_id).where(changes.c.sequence > since)
        if until is not None:
            wanted = wanted.where(changes.c.sequence <= until)
        return wanted.where(changes.c.gallery_id == gallery.id, changes.c.kind.in_(kinds)).distinct()

    def _portions(self, wanted: Select[int, str, bytes], dimension: int) -> Iterator[EnrolledFaces]:
        # Closed whatever happens: SQLite would go on to show a connection with an open query what it showed before.
        with self._connection.execute(wanted.order_by(faces.c.id), execution_options={"yield_per": _CHUNK}) as result:
            for rows in result.partitions():
                ids, labels, embeddings = zip(*rows, strict=True)
                yield EnrolledFaces(np.array(ids, np.int64), list(labels), _matrix(embeddings, dimension))


def _enrolled() -> Select[int, str, bytes]:
    return select(faces.c.id, faces.c.label, faces.c.embedding)


def _matrix(embeddings: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(embeddings), "<f4").reshape(len(embeddings), dimension)
