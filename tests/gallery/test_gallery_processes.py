"""Several processes at one store, some of them killed in mid-flight; `TOONFACE_TEST_WRITERS` says how many."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, new_faces, unit_vectors, wait_for
from gallery_writers import (
    BATCH,
    hold_the_lock,
    open_store,
    processes,
    save_for_ever,
    started,
    write_batches,
    write_for_ever,
)

from toonface_contract.admin import IndexSettings, NewFace
from toonface_contract.errors import NotFound, Unavailable
from toonface_gallery.live import LiveGalleries
from toonface_gallery.store import GalleryStore

MANY = int(os.environ.get("TOONFACE_TEST_WRITERS", "150"))


def labels(store: GalleryStore, gallery: str) -> Counter[str]:
    return Counter(face.label for face in store.page(gallery, limit=1_000_000).faces)


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    for attempt in range(5):
        url = f"sqlite:///{tmp_path}/{attempt}.sqlite3"
        together = processes.Barrier(4)
        openers = [started(open_store, url, together) for _ in range(4)]
        for opener in openers:
            opener.join()
        assert [opener.exitcode for opener in openers] == [0] * 4
        store = GalleryStore(url)
        expected = sorted(["default", *(f"gallery-{opener.pid}" for opener in openers)])
        assert [info.name for info in store.galleries()] == expected
        store.close()


def test_processes_that_write_at_once_lose_nothing_and_are_followed(store: GalleryStore, url: str) -> None:
    store.ensure("people", EMBEDDER, DIMENSION)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    together = processes.Barrier(2)
    writers = [started(write_batches, url, name, 30, together) for name in ("first", "second")]
    while any(writer.is_alive() for writer in writers):
        found = Counter(live.search("people", basis(0), 1000).labels[0])
        assert set(found.values()) <= {BATCH}, "half a batch was seen"
    assert [writer.exitcode for writer in writers] == [0, 0]

    kept = {f"{name}-{number}": BATCH for name in ("first", "second") for number in range(30) if number % 3}
    assert labels(store, "people") == kept
    with store.snapshot() as snapshot:
        end = snapshot.sequence()
    wait_for(lambda: live.sequence == end)
    assert Counter(live.search("people", basis(0), 1000).labels[0]) == kept
    live.stop()


def test_a_killed_process_takes_its_lock_with_it(url: str, tmp_path: Path) -> None:
    store = GalleryStore(url, busy_timeout=0.2)
    store.ensure("people", EMBEDDER, DIMENSION)
    holder = started(hold_the_lock, tmp_path / "gallery.sqlite3", tmp_path / "held")
    wait_for((tmp_path / "held").exists)
    with pytest.raises(Unavailable, match="another process has it locked"):
        store.add("people", new_faces("Ada"), basis(0), EMBEDDER)
    holder.kill()
    holder.join()
    store.add("people", new_faces("Ada"), basis(0), EMBEDDER)
    assert labels(store, "people") == {"Ada": 1}
    store.close()


@pytest.mark.parametrize("rounds", [12, pytest.param(MANY, marks=pytest.mark.slow, id="many")])
def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    url: str, tmp_path: Path, rounds: int
) -> None:
    """Writers, one after the other, each killed by SIGKILL; the first ones before or while the store is made."""
    moments = random.Random()  # noqa: S311  (not for secrets)
    certain: dict[str, bool] = {}  # label of a batch -> whether it must be there
    rebuilt: list[str] = []  # labels that the gallery "rebuilt" may have now
    acknowledged = 0
    for round_number in range(rounds):
        journal = tmp_path / f"journal-{round_number}"
        writer = started(write_for_ever, url, f"writer{round_number:03d}", journal, round_number)
        if round_number > 2:
            wait_for(lambda journal=journal: journal.exists() and b"done" in journal.read_bytes())
        time.sleep(moments.uniform(0, 0.15))
        assert writer.is_alive()
        writer.kill()
        writer.join()

        open_end: tuple[str, str] | None = None
        for line in journal.read_text().splitlines() if journal.exists() else []:
            stage, kind, label = line.split()
            open_end = (kind, label) if stage == "begin" else None
            if kind == "build":
                rebuilt = [label] if stage == "done" else [*rebuilt, label]
            elif stage == "done":
                certain[label] = kind == "add"
            acknowledged += stage == "done"

        store = GalleryStore(url)
        assert sqlite3.connect(tmp_path / "gallery.sqlite3").execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.verify() == []
        names = [info.name for info in store.galleries()]
        people = labels(store, "people") if "people" in names else Counter[str]()
        assert set(people.values()) <= {BATCH}
        if open_end is not None and open_end[0] != "build":
            certain[open_end[1]] = open_end[1] in people  # it was not acknowledged: either is right
        assert set(people) == {label for label, there in certain.items() if there}

        now = labels(store, "rebuilt") if "rebuilt" in names else Counter[str]()
        assert list(now.values()) == [BATCH] * (len(now) == 1)
        assert list(now) == [] if not rebuilt else set(now) <= set(rebuilt)
        rebuilt = list(now) or rebuilt

        live = LiveGalleries(store, EMBEDDER, DIMENSION)
        live.start()
        if people:
            found = live.search("people", np.eye(DIMENSION, dtype=np.float32)[:1], 1_000_000)
            assert Counter(found.labels[0]) == people
        live.stop()
        store.close()
    print(f"killed, and nothing was lost: {rounds} writers, {acknowledged} writes acknowledged")
    assert acknowledged > 0


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.slow, id="many")])
def test_a_process_killed_while_it_saves_an_index_leaves_the_old_one_or_the_new_one(
    store: GalleryStore, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, rounds: int
) -> None:
    moments = random.Random()  # noqa: S311  (not for secrets)
    folder = tmp_path / "indices"
    vectors = unit_vectors(20_000, seed=1)
    faces = [NewFace(label=f"person {number}") for number in range(20_000)]
    store.build("people", faces, vectors, EMBEDDER, index=IndexSettings(type="Flat"))
    cut_short = 0
    for round_number in range(rounds):
        server = started(save_for_ever, url, folder, round_number)
        label = f"{round_number}-{moments.randrange(2)}"
        wait_for(lambda label=label: len(store.page("people", label=label).faces) > 0)
        wait_for((folder / "gallery-1.index").exists)
        wait_for(lambda: len(list(folder.glob("*.index.*"))) > 0)
        # Half of them at once: a fast machine has written the file in a moment.
        time.sleep(max(0.0, moments.uniform(-0.02, 0.02)))
        server.kill()
        server.join()
        cut_short += len(list(folder.glob("*.index.*")))

        caplog.clear()
        caplog.set_level(logging.INFO)
        live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=folder)
        live.start()
        assert "read from" in caplog.text
        assert "thrown away" not in caplog.text
        assert [path.name for path in folder.iterdir()] == ["gallery-1.index"]
        page, embeddings = store.page_with_embeddings("people", limit=100_000)
        assert [status.faces for status in live.status() if status.name == "people"] == [len(page.faces)]
        chosen = [*range(0, 20_000, 500), *range(20_000, len(page.faces))]
        found = live.search("people", embeddings[chosen], 1)
        assert found.ids[:, 0].tolist() == [page.faces[row].id for row in chosen]
        assert [row[0] for row in found.labels] == [page.faces[row].label for row in chosen]
        live.stop()
    print(f"killed while saving: {cut_short} of {rounds}")
    assert cut_short > 0 or rounds < 10  # of few, all may have hit the moments between two files


def test_searches_go_on_while_another_process_has_the_store_locked(url: str, tmp_path: Path) -> None:
    store = GalleryStore(url, busy_timeout=0.2)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    acknowledged = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    wait_for(lambda: live.sequence >= acknowledged.sequence)
    holder = started(hold_the_lock, tmp_path / "gallery.sqlite3", tmp_path / "held")
    wait_for((tmp_path / "held").exists)
    for _ in range(3):
        with pytest.raises(Unavailable, match="another process has it locked"):
            store.add("people", new_faces("Grace"), basis(1), EMBEDDER)
        assert live.search("people", basis(1), 9).labels == [["Ada"]]
        with pytest.raises(NotFound):
            live.search("nowhere", basis(1), 9)
    holder.kill()
    holder.join()
    last = store.add("people", new_faces("Grace"), basis(1), EMBEDDER).sequence
    wait_for(lambda: live.sequence >= last)
    assert live.search("people", basis(1), 1).labels == [["Grace"]]
    live.stop()
    store.close()
