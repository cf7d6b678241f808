"""Starts from saved indices: quick when they can be believed, and right in any case."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces, no_thread, unit_vectors, wait_for

from toonface_contract.admin import FaceUpdate, IndexSettings, NewFace
from toonface_gallery import builder, retries, rows, unsaved
from toonface_gallery import live as live_module
from toonface_gallery.index import Writer
from toonface_gallery.labels import FaceLabels
from toonface_gallery.live import LiveGalleries
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.saved import SavedIndices
from toonface_gallery.saved_file import describe
from toonface_gallery.store import GalleryStore

TYPES = ["Flat", "SQfp16", "IVF16,Flat", "IVF16,RaBitQ,Refine(SQfp16)", "HNSW32"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For saved indices; small galleries are saved there too."""
    monkeypatch.setattr(builder, "_SAVED_LEAST", 1)
    return tmp_path / "indices"


@contextmanager
def serving(store: GalleryStore, folder: Path) -> Iterator[LiveGalleries]:
    live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=folder)
    live.start()
    yield live
    live.stop()


def filled(store: GalleryStore, kind: str | None = "Flat", count: int = 700) -> np.ndarray:
    vectors = unit_vectors(count, seed=1)
    faces = [NewFace(label=f"person {number}") for number in range(count)]
    store.build("people", faces, vectors, EMBEDDER, index=IndexSettings(type=kind))
    return vectors


def labels(live: LiveGalleries, vectors: np.ndarray) -> list[str]:
    return [row[0] for row in live.search("people", vectors, 1).labels]


@pytest.mark.parametrize("kind", TYPES)
def test_a_start_from_a_saved_index_finds_what_changed_since(
    store: GalleryStore, folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = filled(store, kind)
    with serving(store, folder):
        pass
    ids = [face.id for face in store.page("people", limit=3).faces]
    store.remove("people", ids=ids[:1])
    store.update("people", [FaceUpdate(id=ids[1], label="renamed")])
    store.update("people", [FaceUpdate(id=ids[2], label="moved")], basis(0), EMBEDDER)
    store.add("people", new_faces("new"), basis(1), EMBEDDER)
    caplog.set_level(logging.INFO)
    with serving(store, folder) as live:
        assert "read from" in caplog.text
        assert labels(live, np.concatenate([vectors[1:2], basis(0, 1)])) == ["renamed", "moved", "new"]
        assert labels(live, vectors[3:]) == [f"person {number}" for number in range(3, 700)]
        assert "person 0" not in live.search("people", vectors[:1], 700).labels[0]
        assert [status.faces for status in live.status() if status.name == "people"] == [700]


@pytest.mark.parametrize("place", [0, 0.01, 0.3, 0.9, 1])
def test_a_damaged_file_is_thrown_away_and_said_in_the_log(
    store: GalleryStore, folder: Path, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = filled(store)
    with serving(store, folder):
        pass
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    with serving(store, folder) as live:
        assert "thrown away" in caplog.text
        assert "damaged" in caplog.text
        assert labels(live, vectors) == [f"person {number}" for number in range(700)]
    caplog.clear()
    with serving(store, folder) as live:
        assert labels(live, vectors[:1]) == ["person 0"]
        assert "damaged" not in caplog.text


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"plan": {"factory"', b'"plan": {"fakturen"'),
        (b'"faces": 700, ', b""),
        (b"NUMPY", b"NUMPX"),
        (b"toonface index 2", b"toonface index 9"),
    ],
)
def test_a_whole_file_of_another_version_is_thrown_away(
    store: GalleryStore, folder: Path, was: bytes, becomes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = filled(store)
    with serving(store, folder):
        pass
    (path,) = folder.iterdir()
    data = path.read_bytes()[:-32].replace(was, becomes)
    path.write_bytes(data + hashlib.sha256(data).digest())
    with serving(store, folder) as live:
        assert "thrown away" in caplog.text
        assert "version of toonface" in caplog.text
        assert labels(live, vectors[:5]) == [f"person {number}" for number in range(5)]


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_a_file_cut_short_is_thrown_away(
    store: GalleryStore, folder: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = filled(store)
    with serving(store, folder):
        pass
    (path,) = folder.iterdir()
    os.truncate(path, length)
    with serving(store, folder) as live:
        assert "damaged" in caplog.text
        assert labels(live, vectors[:5]) == [f"person {number}" for number in range(5)]


def test_a_file_of_another_store_is_thrown_away(
    store: GalleryStore, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same gallery number, size and sequence, but other faces."""
    filled(store)
    with serving(store, folder):
        pass
    other = GalleryStore(f"sqlite:///{tmp_path}/other.sqlite3")
    other.ensure("default", EMBEDDER, DIMENSION)
    faces = [NewFace(label=f"stranger {number}") for number in range(700)]
    vectors = unit_vectors(700, seed=2)
    other.build("people", faces, vectors, EMBEDDER, index=IndexSettings(type="Flat"))
    shutil.move(folder, tmp_path / "taken")
    with serving(other, tmp_path / "elsewhere"):
        pass
    for path in (tmp_path / "taken").iterdir():
        (tmp_path / "elsewhere" / path.name).write_bytes(path.read_bytes())
    with serving(other, tmp_path / "elsewhere") as live:
        assert labels(live, vectors[:5]) == [f"stranger {number}" for number in range(5)]
        assert "another gallery" in caplog.text or "history" in caplog.text
    other.close()


def test_a_file_from_before_the_store_was_restored_is_thrown_away(
    store: GalleryStore, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The older copy has been written to since, as far as the file and farther."""
    filled(store)
    with sqlite3.connect(tmp_path / "gallery.sqlite3") as current, sqlite3.connect(tmp_path / "copy") as copy:
        current.backup(copy)
    store.add("people", new_faces("lost"), basis(0), EMBEDDER)
    with serving(store, folder):
        pass
    with sqlite3.connect(tmp_path / "gallery.sqlite3") as current, sqlite3.connect(tmp_path / "copy") as copy:
        copy.backup(current)
    for _ in range(3):
        store.add("people", new_faces("kept"), basis(0), EMBEDDER)
    with serving(store, folder) as live:
        assert "not of this store's history" in caplog.text
        assert live.search("people", basis(0), 3).labels == [["kept"] * 3]


def test_a_file_older_than_what_the_store_remembers_is_thrown_away(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    filled(store)
    with serving(store, folder):
        pass
    monkeypatch.setattr(rows.trim, "__defaults__", (5,))
    for _ in range(30):
        store.add("people", new_faces("Ada"), basis(0), EMBEDDER)
    with serving(store, folder) as live:
        assert "older than what the store remembers" in caplog.text
        assert live.search("people", basis(0), 30).labels == [["Ada"] * 30]


def test_other_settings_make_another_index(store: GalleryStore, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = filled(store)
    with serving(store, folder):
        pass
    store.configure("people", IndexSettings(type="HNSW32", metric="L2"))
    with serving(store, folder) as live:
        assert "another gallery, embedder or index type" in caplog.text
        assert labels(live, vectors[:20]) == [f"person {number}" for number in range(20)]
        assert {status.index for status in live.status() if status.name == "people"} == {"HNSW32;efSearch=128"}


def test_a_folder_that_cannot_be_written_costs_the_quick_start_alone(
    store: GalleryStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = filled(store)
    folder.write_text("a file where the folder should be")
    live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=folder)
    live.start()
    assert labels(live, vectors[:1]) == ["person 0"]
    assert "cannot be saved" in caplog.text
    live.stop()


def test_files_of_dropped_galleries_and_dead_writers_go(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead are all that hold no lock, also one that had this process's number, as after a restart in a container."""
    filled(store)
    folder.mkdir()
    for name in ("gallery-999.index", "gallery-1.index.abc", f"gallery-1.index.{os.getpid()}.abc", "mine"):
        (folder / name).touch()
    writing, released = threading.Event(), threading.Event()
    save = FaceLabels.save

    def slow(self: FaceLabels, out: Writer) -> None:
        writing.set()
        released.wait(60)
        save(self, out)

    with serving(store, folder) as live, monkeypatch.context() as patch:
        assert {path.name for path in folder.iterdir()} == {"gallery-1.index", "mine"}
        patch.setattr(FaceLabels, "save", slow)
        writer = threading.Thread(target=SavedIndices(folder).save, args=(live._state.loaded["people"],))
        writer.start()
        assert writing.wait(20)
        SavedIndices(folder).keep_only({1})
        assert len({path.name for path in folder.iterdir()} - {"gallery-1.index", "mine"}) == 1
        released.set()
        writer.join()
        assert {path.name for path in folder.iterdir()} == {"gallery-1.index", "mine"}


def test_files_of_galleries_of_another_embedder_stay(store: GalleryStore, folder: Path) -> None:
    store.build("strangers", new_faces("Ada"), basis(0), "another embedder")
    folder.mkdir()
    (folder / "gallery-1.index").touch()
    with serving(store, folder):
        assert (folder / "gallery-1.index").exists()


def test_the_file_of_a_gallery_goes_with_it(store: GalleryStore, folder: Path) -> None:
    vectors = filled(store)
    with serving(store, folder):
        assert [path.name for path in folder.iterdir()] == ["gallery-1.index"]
        store.build("people", new_faces(*["Ada"] * 700), vectors, EMBEDDER, replace=True)
        wait_for(lambda: [path.name for path in folder.iterdir()] == ["gallery-3.index"])
        store.drop("people")
        wait_for(lambda: list(folder.iterdir()) == [])


@contextmanager
def slow_saving(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """The names of galleries whose saving has begun, and what lets it end."""
    begun: list[str] = []
    released = threading.Event()
    save = SavedIndices.save

    def slow(self: SavedIndices, gallery: LoadedGallery) -> None:
        begun.append(gallery.key.name)
        released.wait(60)
        save(self, gallery)

    with monkeypatch.context() as patch:
        patch.setattr(SavedIndices, "save", slow)
        yield begun, released
        released.set()


def test_a_gallery_that_is_being_saved_takes_up_changes_afterwards_and_others_do_not_wait(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_module, "_SAVE_AFTER", 20)
    vectors = filled(store, count=40)
    store.build("others", new_faces("Ada"), basis(0), EMBEDDER)
    with serving(store, folder) as live, slow_saving(monkeypatch) as (begun, released):
        store.remove("people", ids=[face.id for face in store.page("people", limit=3).faces])
        store.add("people", new_faces(*["more"] * 20), unit_vectors(20, seed=2), EMBEDDER)
        wait_for(lambda: begun == ["people"])
        later = store.add("people", new_faces("later"), basis(1), EMBEDDER)
        store.add("others", new_faces("Grace"), basis(1), EMBEDDER)
        wait_for(lambda: live.search("others", basis(1), 1).labels == [["Grace"]])
        assert live.store_sequence >= later.sequence
        assert labels(live, basis(1)) != ["later"]
        assert labels(live, vectors[3:]) == [f"person {number}" for number in range(3, 40)]
        released.set()
        wait_for(lambda: labels(live, basis(1)) == ["later"])
        assert begun == ["people"]
    caplog.set_level(logging.INFO)
    with serving(store, folder) as live:
        assert "'people': 57 faces" in caplog.text
        assert "read from" in caplog.text
        assert labels(live, np.concatenate([vectors[3:4], basis(1)])) == ["person 3", "later"]


def test_a_gallery_whose_saving_gets_no_thread_follows_and_is_saved_later(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_module, "_SAVE_AFTER", 20)
    monkeypatch.setattr(retries, "_RETRY_SECONDS", 0.1)
    filled(store, count=40)
    with serving(store, folder) as live:
        file = folder / "gallery-1.index"
        before = file.stat().st_mtime_ns
        with monkeypatch.context() as busy_machine:
            busy_machine.setattr(threading.Thread, "start", no_thread)
            store.add("people", new_faces(*["more"] * 20), unit_vectors(20, seed=2), EMBEDDER)
            wait_for(lambda: "gallery 'people' cannot be saved: can't start new thread" in caplog.text)
            store.add("people", new_faces("later"), basis(1), EMBEDDER)
            wait_for(lambda: labels(live, basis(1)) == ["later"])
            assert file.stat().st_mtime_ns == before
        wait_for(lambda: file.stat().st_mtime_ns != before)
        assert "cannot follow" not in caplog.text


def test_a_gallery_that_nobody_changes_is_saved_before_the_store_forgets_when_it_was(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsaved, "_FORGOTTEN_AFTER", 10)
    filled(store)
    with serving(store, folder), slow_saving(monkeypatch) as (begun, released):
        released.set()
        store.add("default", new_faces(*["Ada"] * 12), unit_vectors(12, seed=2), EMBEDDER)
        wait_for(lambda: set(begun) == {"people", "default"})
    with store.snapshot() as snapshot:
        (key,) = [key for key in snapshot.galleries() if key.name == "people"]
        assert describe(folder, key, snapshot) == "current"


def test_a_gallery_that_is_dropped_while_it_is_saved_leaves_no_file(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_SAVE_AFTER", 20)
    filled(store, count=40)
    with serving(store, folder) as live, slow_saving(monkeypatch) as (begun, released):
        store.add("people", new_faces(*["more"] * 20), unit_vectors(20, seed=2), EMBEDDER)
        wait_for(lambda: begun == ["people"])
        store.drop("people")
        wait_for(lambda: list(folder.iterdir()) == [])
        released.set()
        live._jobs.join()
        assert list(folder.iterdir()) == []


def test_many_changes_are_saved_when_the_server_stops(
    store: GalleryStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(store)
    with serving(store, folder) as live:
        before = (folder / "gallery-1.index").stat().st_size
        change = store.add("people", new_faces(*["Ada"] * 1000), unit_vectors(1000, seed=5), EMBEDDER)
        wait_for(lambda: live.sequence >= change.sequence)
    assert (folder / "gallery-1.index").stat().st_size > 2 * before
