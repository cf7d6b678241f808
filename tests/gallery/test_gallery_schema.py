"""The tables over time: fresh stores, stores of earlier versions, several processes at once; both databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces
from gallery_writers import open_store, processes, started
from sqlalchemy import inspect

from toonface_gallery import migrations
from toonface_gallery.live import LiveGalleries
from toonface_gallery.schema import SCHEMA_REVISION, metadata
from toonface_gallery.store import GalleryStore

# A store as the first version made it, with two faces.
FIRST_VERSION = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE galleries (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name VARCHAR NOT NULL,
    dimension INTEGER NOT NULL, embedder VARCHAR NOT NULL, created DATETIME NOT NULL, UNIQUE (name));
CREATE TABLE faces (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL, label VARCHAR NOT NULL,
    embedding BLOB NOT NULL, source VARCHAR NOT NULL, created DATETIME NOT NULL,
    FOREIGN KEY(gallery_id) REFERENCES galleries (id));
CREATE INDEX faces_by_gallery ON faces (gallery_id, id);
CREATE INDEX faces_by_label ON faces (gallery_id, label);
CREATE TABLE changes (sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, gallery_id INTEGER NOT NULL,
    kind VARCHAR NOT NULL, face_id INTEGER);
INSERT INTO schema_version VALUES (1);
INSERT INTO galleries VALUES (1, 'default', 8, 'sha256:0123456789abcdef0123456789abcdef', '2026-01-02 03:04:05.000000');
INSERT INTO faces VALUES
    (3, 1, 'Ada', x'0000803F00000000000000000000000000000000000000000000000000000000', 'a.png',
    '2026-01-02 03:04:06.000000'),
    (7, 1, 'Noor', x'000000000000803F000000000000000000000000000000000000000000000000', '',
    '2026-01-02 03:04:07.000000');
INSERT INTO changes VALUES (1, 1, 'created', NULL), (2, 1, 'added', 3), (3, 1, 'added', 7);
"""


@pytest.fixture
def first_version(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "old.sqlite3") as connection:
        connection.executescript(FIRST_VERSION)
    return f"sqlite:///{tmp_path}/old.sqlite3"


def test_the_newest_script_is_the_revision_that_the_store_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION


@pytest.mark.parametrize("source", ["url", "postgres_url", "first_version"])
def test_the_scripts_make_what_the_schema_says(source: str, request: pytest.FixtureRequest) -> None:
    store = GalleryStore(request.getfixturevalue(source))
    with store.snapshot() as snapshot:
        connection = snapshot._connection
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert not inspect(connection).has_table("schema_version")
    store.close()


def test_a_store_of_the_first_version_keeps_its_faces_and_goes_on(first_version: str) -> None:
    store = GalleryStore(first_version)
    found = store.page("default").faces
    assert [(face.id, face.label, face.source, face.quality) for face in found] == [
        (3, "Ada", "a.png", None),
        (7, "Noor", "", None),
    ]
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    assert live.search("default", basis(1), 1).labels == [["Noor"]]
    live.stop()
    added = store.add("default", new_faces("Grace"), basis(2), EMBEDDER)
    assert (added.ids, added.sequence) == ([8], 4)
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize("source", ["postgres_url", "first_version"])
def test_processes_that_open_a_store_at_once_bring_it_up_to_date_once(
    source: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(source)
    together = processes.Barrier(4)
    openers = [started(open_store, url, together) for _ in range(4)]
    for opener in openers:
        opener.join()
    assert [opener.exitcode for opener in openers] == [0] * 4
    store = GalleryStore(url)
    assert len(store.galleries()) == 5
    store.close()
