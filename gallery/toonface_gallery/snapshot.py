"""What a live index needs of the store: whole galleries, and what changed in them since it last looked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, func, select

from toonface_gallery.schema import ADDED, REMOVED, changes, faces, galleries

# Faces held in memory at once while a gallery is read: 16 MiB at 512 dimensions.
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class GalleryKey:
    """One gallery as the store knows it. `embedder` is the digest of the model that made its embeddings."""

    id: int
    name: str
    dimension: int
    embedder: str


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


class Snapshot:
    """One state of the store. Everything read from it belongs together, whatever is written meanwhile."""

    def __init__(self, connection: Connection) -> None:
        """Read over this connection, whose transaction must stay open while the snapshot is used."""
        self._connection = connection

    def sequence(self) -> int:
        """Number of the last change; 0 when nothing ever happened."""
        return int(self._connection.execute(select(func.max(changes.c.sequence))).scalar_one() or 0)

    def galleries(self) -> list[GalleryKey]:
        """All galleries, in the order of their names."""
        wanted = select(galleries.c.id, galleries.c.name, galleries.c.dimension, galleries.c.embedder)
        return [GalleryKey(*row) for row in self._connection.execute(wanted.order_by(galleries.c.name))]

    def faces(self, gallery: GalleryKey) -> Iterator[EnrolledFaces]:
        """All faces of a gallery, in portions."""
        return self._portions(_enrolled().where(faces.c.gallery_id == gallery.id), gallery.dimension)

    def changed(self, since: int) -> set[int]:
        """Ids of the galleries that changes with a sequence above `since` name."""
        return set(
            self._connection.execute(
                select(changes.c.gallery_id).where(changes.c.sequence > since).distinct()
            ).scalars()
        )

    def added(self, gallery: GalleryKey, since: int) -> Iterator[EnrolledFaces]:
        """Faces of a gallery that were added by changes with a sequence above `since` and are still there."""
        wanted = (
            _enrolled()
            .join(changes, changes.c.face_id == faces.c.id)
            .where(changes.c.sequence > since, changes.c.gallery_id == gallery.id, changes.c.kind == ADDED)
        )
        return self._portions(wanted, gallery.dimension)

    def removed(self, gallery: GalleryKey, since: int) -> list[int]:
        """Ids of the faces of a gallery that were removed by changes with a sequence above `since`."""
        wanted = select(changes.c.face_id).where(
            changes.c.sequence > since, changes.c.gallery_id == gallery.id, changes.c.kind == REMOVED
        )
        return list(self._connection.execute(wanted).scalars())

    def _portions(self, wanted: Select[int, str, bytes], dimension: int) -> Iterator[EnrolledFaces]:
        result = self._connection.execute(wanted.order_by(faces.c.id), execution_options={"yield_per": _CHUNK})
        for rows in result.partitions():
            ids, labels, embeddings = zip(*rows, strict=True)
            yield EnrolledFaces(
                np.array(ids, np.int64),
                list(labels),
                np.frombuffer(b"".join(embeddings), "<f4").reshape(len(rows), dimension),
            )


def _enrolled() -> Select[int, str, bytes]:
    return select(faces.c.id, faces.c.label, faces.c.embedding)
