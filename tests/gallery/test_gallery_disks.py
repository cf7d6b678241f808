"""Disks that are full or cannot be written, and clocks that are moved, while a gallery serves."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces, unit_vectors, wait_for

from toonface_contract.admin import IndexSettings, NewFace
from toonface_contract.errors import Unavailable
from toonface_gallery import retries, rows, unsaved
from toonface_gallery.live import LiveGalleries
from toonface_gallery.store import GalleryStore

_libc = ctypes.CDLL(None, use_errno=True)
_MEGABYTE = 1 << 20


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes in memory; without the right to mount one, the test is left out."""
    folder.mkdir()
    if _libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={size}".encode()) != 0:
        if ctypes.get_errno() in (errno.EPERM, errno.EACCES):
            pytest.skip("only root may mount a small disk")
        raise OSError(ctypes.get_errno(), "mount")
    try:
        yield
    finally:
        _libc.umount2(bytes(folder), 2)  # MNT_DETACH: files may be open


def fill(folder: Path) -> Path:
    """Take all the space there is."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return path


def test_a_full_disk_refuses_writes_and_searches_go_on_until_there_is_space(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 4 * _MEGABYTE):
        store = GalleryStore(f"sqlite:///{tmp_path}/disk/gallery.sqlite3")
        live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=tmp_path / "disk" / "indices")
        live.start()
        acknowledged = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
        wait_for(lambda: live.sequence >= acknowledged.sequence)
        ballast = fill(tmp_path / "disk")
        refused = 0
        for _ in range(20):
            try:
                store.add("people", [NewFace(label="x")] * 200, unit_vectors(200, seed=1), EMBEDDER)
            except Unavailable as error:
                assert "free some space" in str(error) or "disk fails" in str(error)
                refused += 1
            assert live.search("people", basis(0), 1).labels == [["Ada"]]
        assert refused > 0
        ballast.unlink()
        faces = store.page("people", limit=10_000).faces
        assert len(faces) % 200 == 1
        last = store.add("people", new_faces("Grace"), basis(1), EMBEDDER).sequence
        wait_for(lambda: live.sequence >= last)
        assert live.search("people", basis(1), 1).labels == [["Grace"]]
        assert store.verify() == []
        live.stop()
        store.close()


def test_a_full_disk_for_indices_costs_the_quick_start_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mounted(tmp_path / "disk", _MEGABYTE):
        store = GalleryStore(f"sqlite:///{tmp_path}/gallery.sqlite3")
        vectors = unit_vectors(6000, seed=1)
        faces = [NewFace(label=f"person {number}") for number in range(6000)]
        store.build("default", faces, vectors, EMBEDDER, index=IndexSettings(type="Flat"))
        fill(tmp_path / "disk")
        live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=tmp_path / "disk")
        live.start()
        assert live.search("default", vectors[:1], 1).labels == [["person 0"]]
        wait_for(lambda: "cannot be saved" in caplog.text)
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["ballast"]
        live.stop()
        store.close()


def test_a_full_disk_for_the_vectors_of_two_stages_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The store took the faces; the index follows when there is space again, and until then what was there is found."""
    with mounted(tmp_path / "disk", 4 * _MEGABYTE):
        store = GalleryStore(f"sqlite:///{tmp_path}/gallery.sqlite3")
        settings = IndexSettings(type="SQfp16,RFlat")
        store.build("default", new_faces("Ada"), basis(0), EMBEDDER, index=settings)
        live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=tmp_path / "disk")
        live.start()
        ballast = fill(tmp_path / "disk")
        count = 40_000
        last = store.add("default", [NewFace(label="x")] * count, unit_vectors(count, seed=1), EMBEDDER).sequence
        wait_for(lambda: "gallery 'default' cannot follow the store" in caplog.text)
        assert os.strerror(errno.ENOSPC) in caplog.text
        assert live.search("default", basis(0), 5).labels == [["Ada"]]
        other = store.build("people", new_faces("Grace"), basis(1), EMBEDDER, index=IndexSettings(type="Flat"))
        wait_for(lambda: live.store_sequence >= other.sequence)
        assert live.search("people", basis(1), 1).labels == [["Grace"]]
        ballast.unlink()
        wait_for(lambda: live.sequence >= last)
        assert {status.name: status.faces for status in live.status()} == {"default": count + 1, "people": 1}
        assert "gallery 'default' follows the store again" in caplog.text
        live.stop()
        store.close()


def test_no_space_for_vectors_at_a_start_costs_neither_the_saved_index_nor_the_other_galleries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unsaved, "_SAVED_LEAST", 100)
    monkeypatch.setattr(retries, "_RETRY_SECONDS", 0.1)
    with mounted(tmp_path / "disk", 4 * _MEGABYTE):
        folder = tmp_path / "disk"
        store = GalleryStore(f"sqlite:///{tmp_path}/gallery.sqlite3")
        store.build("default", new_faces("Ada"), basis(0), EMBEDDER)
        vectors = unit_vectors(300, seed=1)
        faces = [NewFace(label=f"person {number}") for number in range(300)]
        store.build("people", faces, vectors, EMBEDDER, index=IndexSettings(type="SQfp16,RFlat"))
        first = LiveGalleries(store, EMBEDDER, DIMENSION, folder=folder)
        first.start()
        first.stop()
        (saved,) = folder.iterdir()
        before = saved.read_bytes()
        ballast = fill(folder)
        caplog.clear()
        live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=folder)
        live.start()
        assert "gallery 'people' cannot be loaded" in caplog.text
        assert live.search("default", basis(0), 1).labels == [["Ada"]]
        with pytest.raises(Unavailable, match=f"'people' cannot be loaded.*{os.strerror(errno.ENOSPC)}"):
            live.search("people", vectors[:1], 1)
        assert saved.read_bytes() == before
        caplog.set_level(logging.INFO)
        ballast.unlink()
        wait_for(lambda: "people" in {status.name for status in live.status()})
        assert live.search("people", vectors[:1], 1).labels == [["person 0"]]
        assert f"read from {saved}" in caplog.text
        live.stop()
        store.close()


def test_nothing_goes_by_the_clock(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps ahead and back while faces are enrolled: they are followed, paged and removed like others."""
    years = [2026]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(years[-1], 1, 1, tzinfo=tz)

    monkeypatch.setattr(rows, "datetime", Clock)  # the only place of the gallery that asks for the date
    monkeypatch.setattr(time, "time", lambda: Clock.now(UTC).timestamp())
    store.ensure("people", EMBEDDER, DIMENSION)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    ids: list[int] = []
    for axis, (year, label) in enumerate([(2100, "Ada"), (1970, "Grace"), (2026, "Noor"), (1999, "Mary")]):
        years.append(year)
        change = store.add("people", new_faces(label), basis(axis), EMBEDDER)
        ids += change.ids
        wait_for(lambda change=change: live.sequence >= change.sequence)
        assert live.search("people", basis(axis), 1).labels == [[label]]
    assert ids == sorted(ids)
    listed = [(face.id, face.created.year) for face in store.page("people").faces]
    assert listed == list(zip(ids, years[1:], strict=True))
    last = store.remove("people", ids=ids[:2])
    wait_for(lambda: live.sequence >= last.sequence)
    assert sorted(live.search("people", basis(0), 9).labels[0]) == ["Mary", "Noor"]
    live.stop()
