"""The durable store of enrolled faces: a SQL database, and the truth that every index follows. Here are its writes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from toonface_contract.admin import Change, FaceUpdate, IndexSettings, NewFace
from toonface_contract.errors import AlreadyExists, Conflict
from toonface_gallery import refusals, rows
from toonface_gallery.database import Database
from toonface_gallery.reader import StoreReader
from toonface_gallery.schema import faces
from toonface_gallery.snapshot import GalleryKey, Snapshot


class GalleryStore(StoreReader):
    """Galleries, their faces, and the sequence of changes to them, in a SQL database.

    A write is one transaction: all of it happens or none, and when the method returns it is on disk. Several processes
    may use the same store at once, each with a GalleryStore of its own; threads may share one.

    Every method may raise Unavailable (`store_unavailable`) when the database is locked, read-only, damaged or cannot
    be opened or reached, or its disk is full; a write that raised it changed nothing, short of a disk or a connection
    that fails in mid-commit.

    With `dry_run`, a write is carried out in its transaction, with all its checks, and taken back: new ids and the
    sequence in its answer will be another's.
    """

    def __init__(self, url: str, *, busy_timeout: float = 10.0) -> None:
        """Open the store, and make it when it is not there.

        Args:
            url: SQLAlchemy URL of a SQLite file, such as ``sqlite:////var/lib/toonface/gallery.sqlite3``, or of a
                PostgreSQL database, such as ``postgresql://user:password@host/database``.
            busy_timeout: seconds to wait for another writer before giving up.

        Raises:
            ConfigError: the URL is wrong, or the store was written by a newer toonface.
            Unavailable: `store_unavailable`.
        """
        super().__init__(Database(url, busy_timeout))

    def close(self) -> None:
        """Close the idle connections to the database."""
        self._database.close()

    def ensure(self, gallery: str, embedder: str, dimension: int) -> None:
        """Make an empty gallery unless there is one of this name, of whatever embedder."""
        with self._database.reading() as connection:
            present = rows.find(connection, gallery) is not None
        if not present:
            with self._writing() as connection:
                if rows.find(connection, gallery) is None:  # another process may have been first
                    rows.create(connection, gallery, embedder, dimension, IndexSettings())

    def build(
        self,
        gallery: str,
        new_faces: Sequence[NewFace],
        embeddings: NDArray[np.float32],
        embedder: str,
        *,
        replace: bool = False,
        index: IndexSettings | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Make a gallery of the given faces.

        Args:
            gallery: its name.
            new_faces: N labels and sources; N may be 0.
            embeddings: FP32 [N,D], of unit length, in the same order.
            embedder: digest of the model that made them; the gallery takes no others afterwards.
            replace: let an existing gallery give way to it, whatever embedder that one was made with.
            index: how it is to be searched; by default as the one that gives way, or as is found best.
            dry_run: change nothing.

        Returns:
            The new faces' ids, in the same order, and the sequence of the last change.

        Raises:
            AlreadyExists: `gallery_exists`, and `replace` is not set.
        """
        with self._writing(dry_run) as connection:
            old = rows.find(connection, gallery)
            if old is not None and not replace:
                raise AlreadyExists(
                    f"gallery {gallery!r} exists already; add to it, or build it with replace", code="gallery_exists"
                )
            if old is not None:
                rows.drop(connection, old)
            settings = index or (old.index if old is not None else IndexSettings())
            key = rows.create(connection, gallery, embedder, embeddings.shape[1], settings)
            # Its own change stands for these faces too, for whoever follows reads a new gallery as a whole.
            ids = rows.insert_faces(connection, key, new_faces, embeddings)
            return Change(ids=ids, sequence=Snapshot(connection).sequence())

    def add(
        self,
        gallery: str,
        new_faces: Sequence[NewFace],
        embeddings: NDArray[np.float32],
        embedder: str,
        *,
        index: IndexSettings | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Enrol faces into an existing gallery; arguments and answer are those of `build`.

        With `index`, it is to be searched in that way from then on; by default as before.

        Raises:
            NotFound: `gallery_not_found`.
            InvalidRequest: `embedder_mismatch`, the gallery is of another embedder.
        """
        with self._writing(dry_run) as connection:
            key = rows.require(connection, gallery)
            _check_embedder(key, embedder, embeddings)
            if index is not None and index != key.index:
                rows.configure(connection, key, index)
            ids = rows.insert_faces(connection, key, new_faces, embeddings)
            rows.log_added(connection, key, ids)
            return Change(ids=ids, sequence=Snapshot(connection).sequence())

    def update(
        self,
        gallery: str,
        updates: Sequence[FaceUpdate],
        embeddings: NDArray[np.float32] | None = None,
        embedder: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Change:
        """Correct faces of a gallery: all or none.

        Args:
            gallery: its name.
            updates: N faces by id, each once; what an update leaves None stays as it is.
            embeddings: FP32 [N,D], of unit length, to take the place of theirs, in the same order; None keeps theirs.
            embedder: digest of the model that made the embeddings, if there are any.
            dry_run: change nothing.

        Returns:
            The ids of the faces concerned, in ascending order, and the sequence of the last change.

        Raises:
            NotFound: `gallery_not_found`; or `not_found`, with the ids that the gallery does not have.
            InvalidRequest: `embedder_mismatch`, the gallery is of another embedder.
        """
        ids = sorted(change.id for change in updates)
        with self._writing(dry_run) as connection:
            key = rows.require(connection, gallery)
            if embeddings is not None:
                _check_embedder(key, embedder or "", embeddings)
            found = {face for face, _ in rows.select_faces(connection, key, faces.c.id, ids)}
            refusals.check_none_missing(gallery, [f"id {face}" for face in ids if face not in found], "updated")
            rows.update_faces(connection, key, updates, embeddings)
            return Change(ids=ids, sequence=Snapshot(connection).sequence())

    def update_label(
        self,
        gallery: str,
        label: str,
        *,
        set_label: str | None = None,
        set_source: str | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Give all faces with a label another label, another source, or both; what is None stays as it is.

        Returns:
            The ids of the faces concerned, in ascending order, and the sequence of the last change.

        Raises:
            NotFound: `gallery_not_found`; or `not_found`, no face has the label.
        """
        with self._writing(dry_run) as connection:
            key = rows.require(connection, gallery)
            ids = sorted(face for face, _ in rows.select_faces(connection, key, faces.c.label, [label]))
            refusals.check_none_missing(gallery, [] if ids else [f"label {label!r}"], "updated")
            updates = [FaceUpdate(id=face, label=set_label, source=set_source) for face in ids]
            rows.update_faces(connection, key, updates, None)
            return Change(ids=ids, sequence=Snapshot(connection).sequence())

    def remove(
        self, gallery: str, *, ids: Collection[int] = (), labels: Collection[str] = (), dry_run: bool = False
    ) -> Change:
        """Remove faces by id, and all faces of given labels.

        Returns:
            The ids of the faces removed, in ascending order, and the sequence of the last change.

        Raises:
            NotFound: `gallery_not_found`; or `not_found`, with the ids or labels that the gallery does not have.
        """
        with self._writing(dry_run) as connection:
            key = rows.require(connection, gallery)
            found_ids = {face for face, _ in rows.select_faces(connection, key, faces.c.id, ids)}
            by_label = rows.select_faces(connection, key, faces.c.label, labels)
            missing = [f"id {face}" for face in sorted(set(ids) - found_ids)]
            missing += [f"label {label!r}" for label in sorted(set(labels) - {label for _, label in by_label})]
            refusals.check_none_missing(gallery, missing, "removed")
            doomed = sorted(found_ids | {face for face, _ in by_label})
            rows.delete_faces(connection, key, doomed)
            return Change(ids=doomed, sequence=Snapshot(connection).sequence())

    def drop(self, gallery: str, *, dry_run: bool = False) -> Change:
        """Remove a gallery and all its faces; their ids are not listed in the answer.

        Raises:
            NotFound: `gallery_not_found`.
        """
        with self._writing(dry_run) as connection:
            rows.drop(connection, rows.require(connection, gallery))
            return Change(ids=[], sequence=Snapshot(connection).sequence())

    def configure(self, gallery: str, index: IndexSettings, *, dry_run: bool = False) -> Change:
        """Let a gallery be searched in another way; followers build its index anew, and swap it in when it is ready.

        Raises:
            NotFound: `gallery_not_found`.
        """
        with self._writing(dry_run) as connection:
            rows.configure(connection, rows.require(connection, gallery), index)
            return Change(ids=[], sequence=Snapshot(connection).sequence())

    def rename(
        self,
        gallery: str,
        name: str,
        *,
        replace: bool = False,
        unchanged_since: int | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Give a gallery another name. With `replace`, it takes the place of the one that has that name, at once.

        Args:
            gallery: its name.
            name: its new one.
            replace: let a gallery that has the new name give way.
            unchanged_since: number of a change since which none may have concerned the gallery that gives way.
            dry_run: change nothing.

        Raises:
            NotFound: `gallery_not_found`.
            AlreadyExists: `gallery_exists`, another gallery has that name, and `replace` is not set.
            Conflict: `gallery_changed`, the gallery that was to give way was changed or dropped since
                `unchanged_since`, or the store does not remember that any more.
        """
        with self._writing(dry_run) as connection:
            key = rows.require(connection, gallery)
            other = rows.find(connection, name)
            if unchanged_since is not None:
                _check_unchanged(Snapshot(connection), name, other, unchanged_since)
            if other is not None and other.id != key.id:
                if not replace:
                    raise AlreadyExists(f"gallery {name!r} exists already; rename with replace", code="gallery_exists")
                rows.drop(connection, other)
            rows.rename(connection, key, name)
            return Change(ids=[], sequence=Snapshot(connection).sequence())

    @contextmanager
    def _writing(self, dry_run: bool = False) -> Iterator[Connection]:
        with self._database.writing() as connection:
            yield connection
            rows.trim(connection)
            if dry_run:
                connection.rollback()


def _check_unchanged(snapshot: Snapshot, name: str, key: GalleryKey | None, since: int) -> None:
    if key is None:
        raise Conflict(f"gallery {name!r} is gone; nothing was put in its place")
    if not snapshot.remembers(since):
        raise Conflict(
            f"whether gallery {name!r} was changed since change {since:,} cannot be told: the store does not remember "
            "that one; nothing was put in its place, look again and repeat"
        )
    if key.id in snapshot.changed(since):
        raise Conflict(
            f"gallery {name!r} was changed since change {since:,}; nothing was put in its place, look again and repeat"
        )


def _check_embedder(key: GalleryKey, embedder: str, embeddings: NDArray[np.float32]) -> None:
    dimension = embeddings.shape[1]
    if (key.embedder, key.dimension) != (embedder, dimension):
        raise refusals.embedder_mismatch(key.name, key.embedder, key.dimension, embedder, dimension)
