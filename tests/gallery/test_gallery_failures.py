"""A store that cannot be used says why, and what to do."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces, unit_vectors, wait_for
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from toonface_contract.admin import NewFace
from toonface_contract.errors import ConfigError, NotFound, Unavailable
from toonface_gallery.live import LiveGalleries
from toonface_gallery.schema import SCHEMA_REVISION
from toonface_gallery.store import GalleryStore

_NOBODY = 65534


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(Unavailable, match=reason) as failure:
        yield
    assert failure.value.code == "store_unavailable"


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Not root, whom file modes do not stop."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_locked_store_is_waited_for_and_then_refused_and_works_again(url: str, tmp_path: Path) -> None:
    store = GalleryStore(url, busy_timeout=0.2)
    store.ensure("people", EMBEDDER, DIMENSION)
    other = sqlite3.connect(tmp_path / "gallery.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with refused("another process has it locked.*again"):
        store.add("people", new_faces("Ada"), basis(0), EMBEDDER)
    assert store.page("people").faces == []  # reading goes on
    other.execute("ROLLBACK")
    assert len(store.add("people", new_faces("Ada"), basis(0), EMBEDDER).ids) == 1
    store.close()


def test_a_read_only_store_can_be_read_and_refuses_writes(folder: Path) -> None:
    url = f"sqlite:///{folder}/gallery.sqlite3"
    store = GalleryStore(url)
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    with ordinary_user():
        reader = GalleryStore(url)
        reader.ensure("people", EMBEDDER, DIMENSION)
        assert [face.label for face in reader.page("people").faces] == ["Ada"]
        with refused("read-only.*writable"):
            reader.add("people", new_faces("Grace"), basis(1), EMBEDDER)
        reader.close()
    store.close()


def test_searches_go_on_while_the_store_is_read_only_and_the_next_change_arrives(folder: Path) -> None:
    url = f"sqlite:///{folder}/gallery.sqlite3"
    keeper, store = GalleryStore(url), GalleryStore(url)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    acknowledged = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    wait_for(lambda: live.sequence >= acknowledged.sequence)
    # The files of the write-ahead log, without which it could not be read, stay as long as somebody has it open.
    with keeper.snapshot():
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        with ordinary_user():
            store.close()  # it is opened anew, as after a remount
            for _ in range(3):
                with refused("read-only.*writable"):
                    store.add("people", new_faces("Grace"), basis(1), EMBEDDER)
                assert live.search("people", basis(1), 9).labels == [["Ada"]]
                with pytest.raises(NotFound):
                    live.search("nowhere", basis(1), 9)
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
        store.close()
    last = store.add("people", new_faces("Grace"), basis(1), EMBEDDER).sequence
    wait_for(lambda: live.sequence >= last)
    assert live.search("people", basis(1), 1).labels == [["Grace"]]
    live.stop()
    for each in (keeper, store):
        each.close()


def test_a_store_that_cannot_be_opened_says_what_the_folder_needs(tmp_path: Path, folder: Path) -> None:
    with refused("folder must exist"):
        GalleryStore(f"sqlite:///{tmp_path}/missing/gallery.sqlite3")
    folder.chmod(0o555)
    with ordinary_user(), refused("folder must exist, and be readable and writable"):
        GalleryStore(f"sqlite:///{folder}/gallery.sqlite3")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes\n" * 100)
    with refused("not a SQLite database.*restore"):
        GalleryStore(f"sqlite:///{path}")
    assert path.read_text() == "not a database, but somebody's notes\n" * 100


def test_a_damaged_file_is_refused(url: str, tmp_path: Path) -> None:
    store = GalleryStore(url)
    store.build("people", [NewFace(label="x")] * 2000, unit_vectors(2000, seed=1, dimension=128), EMBEDDER)
    store.close()
    path = tmp_path / "gallery.sqlite3"
    sound = path.read_bytes()
    path.write_bytes(sound[:65536] + b"\xff" * (len(sound) - 131072) + sound[-65536:])
    with refused("damaged; restore it from a backup"), GalleryStore(url).snapshot() as snapshot:
        for key in snapshot.galleries():
            list(snapshot.faces(key))


def test_a_full_disk_keeps_what_was_there(url: str) -> None:
    def small_disk(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 64")

    event.listen(Engine, "connect", small_disk)
    try:
        store = GalleryStore(url)
        store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
        with refused("disk is full; free some space"):
            store.add("people", [NewFace(label="x")] * 30_000, unit_vectors(30_000, seed=2), EMBEDDER)
        assert [face.label for face in store.page("people").faces] == ["Ada"]
        store.add("people", new_faces("Grace"), basis(1), EMBEDDER)
        store.close()
    finally:
        event.remove(Engine, "connect", small_disk)


def test_programming_errors_are_not_mistaken_for_failures_of_the_store(url: str, tmp_path: Path) -> None:
    store = GalleryStore(url)
    sqlite3.connect(tmp_path / "gallery.sqlite3").execute("DROP TABLE faces")
    with pytest.raises(OperationalError, match="no such table: faces"):
        store.galleries()


def test_a_store_of_a_newer_version_is_refused(url: str, tmp_path: Path) -> None:
    GalleryStore(url).close()
    with sqlite3.connect(tmp_path / "gallery.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match=f"revision 9999.*up to {SCHEMA_REVISION}; upgrade toonface"):
        GalleryStore(url)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("gallery.sqlite3", "not an SQLAlchemy URL"),
        ("", "not an SQLAlchemy URL"),
        ("mysql://me:s3cret@host/db", "'mysql'; allowed are sqlite.*postgresql"),
        ("sqlite://", "a file on a local disk"),
    ],
)
def test_a_wrong_url_is_refused_with_an_example(wrong: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as failure:
        GalleryStore(wrong)
    assert "s3cret" not in str(failure.value)
