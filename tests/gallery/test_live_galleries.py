from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, held_builds, new_faces, unit_vectors, wait_for

from toonface_contract.admin import NewFace
from toonface_contract.errors import InvalidRequest, NotFound, Unavailable
from toonface_gallery import live as live_module
from toonface_gallery import retries
from toonface_gallery.builder import Builder
from toonface_gallery.labels import FaceLabels
from toonface_gallery.live import LiveGalleries
from toonface_gallery.snapshot import Changes, GalleryKey, Snapshot
from toonface_gallery.store import GalleryStore


def names(live: LiveGalleries, gallery: str, axis: int, topk: int = 1) -> list[str]:
    """Labels found for a probe along one axis."""
    return live.search(gallery, basis(axis), topk).labels[0]


def caught_up(live: LiveGalleries, sequence: int) -> None:
    wait_for(lambda: live.sequence >= sequence)


def test_matches_are_ranked_and_carry_the_labels_of_their_ids(store: GalleryStore, live: LiveGalleries) -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32) @ basis(0, 1)
    ids = store.build("people", new_faces("Ada", "Grace", "Noor"), vectors, EMBEDDER).ids
    found = live.search("people", basis(1, 0), 2)
    assert found.labels == [["Noor", "Grace"], ["Ada", "Grace"]]
    assert found.ids.tolist() == [[ids[2], ids[1]], [ids[0], ids[1]]]
    np.testing.assert_allclose(found.scores, [[1, 0.8], [1, 0.6]], atol=1e-6)
    assert (found.ids.dtype, found.scores.dtype) == (np.int64, np.float32)


def test_k_is_the_gallery_s_size_when_that_is_less_than_topk(store: GalleryStore, live: LiveGalleries) -> None:
    store.build("people", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER)
    assert live.search("people", basis(0, 1, 2), 100).ids.shape == (3, 2)
    assert live.search("people", basis(), 5).ids.shape == (0, 2)


def test_the_default_gallery_is_there_from_the_start_and_empty(live: LiveGalleries) -> None:
    found = live.search("default", basis(0, 1), 5)
    assert (found.ids.shape, found.scores.shape, found.labels) == ((2, 0), (2, 0), [[], []])


def test_what_the_store_held_before_the_start_is_found(store: GalleryStore) -> None:
    names_of_many = [NewFace(label=f"person {number}") for number in range(9000)]
    vectors = unit_vectors(9000, seed=1)
    store.build("default", names_of_many, vectors, EMBEDDER)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    assert [row[0] for row in live.search("default", vectors[::1000], 1).labels] == [
        f"person {number}" for number in range(0, 9000, 1000)
    ]
    live.stop()


def test_added_removed_replaced_and_dropped_faces_are_followed(store: GalleryStore, live: LiveGalleries) -> None:
    ids = store.build("people", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER).ids
    assert names(live, "people", 0) == ["Ada"]

    store.add("people", new_faces("Noor"), basis(2), EMBEDDER)
    caught_up(live, store.remove("people", ids=ids[:1]).sequence)
    assert names(live, "people", 2) == ["Noor"]
    assert sorted(names(live, "people", 0, topk=9)) == ["Grace", "Noor"]

    caught_up(live, store.build("people", new_faces("Mary"), basis(3), EMBEDDER, replace=True).sequence)
    assert names(live, "people", 0, topk=9) == ["Mary"]

    caught_up(live, store.drop("people").sequence)
    with pytest.raises(NotFound, match="'people'.*'default'"):
        live.search("people", basis(0), 1)


def test_a_face_that_comes_and_goes_between_two_looks_leaves_no_trace(store: GalleryStore, live: LiveGalleries) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    assert names(live, "people", 0) == ["Ada"]
    for _ in range(20):
        ids = store.add("people", new_faces("brief", "brief"), basis(1, 2), EMBEDDER).ids
        last = store.remove("people", ids=ids)
    caught_up(live, last.sequence)
    assert names(live, "people", 1, topk=9) == ["Ada"]


def test_a_gallery_made_a_moment_ago_is_found_at_once(store: GalleryStore, live: LiveGalleries) -> None:
    for number in range(20):
        store.build(f"people-{number}", new_faces("Ada"), basis(0), EMBEDDER)
        assert names(live, f"people-{number}", 0) == ["Ada"]


def test_a_new_gallery_whose_index_takes_long_holds_up_no_searches_in_others(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the one instance of the stage: a thread asks for both in turn."""
    monkeypatch.setattr(live_module, "_PATIENCE_SECONDS", 0.2)
    released = held_builds(monkeypatch)
    store.add("default", new_faces("Grace"), basis(1), EMBEDDER)
    store.build("large", new_faces("Ada"), basis(0), EMBEDDER)
    answers: list[str] = []

    def ask() -> None:
        for _ in range(50):
            try:
                answers.extend(names(live, "large", 0))
            except Unavailable as error:
                assert "being built" in str(error)
            answers.extend(names(live, "default", 0))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    wait_for(lambda: not asking.is_alive())
    released.set()
    assert set(answers) == {"Grace"}
    wait_for(lambda: "large" in {status.name for status in live.status()})
    assert names(live, "large", 0) == ["Ada"]


def test_an_unknown_gallery_is_refused_with_the_names_of_those_that_exist(
    store: GalleryStore, live: LiveGalleries
) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    with pytest.raises(NotFound, match="'poeple'.*'default', 'people'") as refused:
        live.search("poeple", basis(0), 1)
    assert refused.value.code == "gallery_not_found"


def test_an_unknown_name_holds_up_no_searches_while_the_store_does_not_answer(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the one instance of the stage, and with a store whose host has vanished: a thread asks for both in turn."""
    monkeypatch.setattr(live_module, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(live_module, "_LOOK_SECONDS_MOST", 1.0)
    released, asked = threading.Event(), threading.Event()
    snapshot = GalleryStore.snapshot

    def stuck(self: GalleryStore) -> AbstractContextManager[Snapshot]:
        asked.set()
        released.wait(60)
        return snapshot(self)

    caught_up(live, store.add("default", new_faces("Ada"), basis(0), EMBEDDER).sequence)
    monkeypatch.setattr(GalleryStore, "snapshot", stuck)
    assert asked.wait(20)
    answers: list[str] = []

    def ask() -> None:
        for _ in range(50):
            with pytest.raises(Unavailable, match="'nowhere' is not known here") as refused:
                live.search("nowhere", basis(0), 1)
            assert refused.value.code == "store_unavailable"
            answers.extend(names(live, "default", 0))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    wait_for(lambda: not asking.is_alive())
    released.set()
    assert answers == ["Ada"] * 50
    store.build("nowhere", new_faces("Grace"), basis(1), EMBEDDER)
    wait_for(lambda: live.store_sequence == store.sequence())
    assert names(live, "nowhere", 1) == ["Grace"]


def test_a_change_is_acted_on_within_a_second(store: GalleryStore, live: LiveGalleries) -> None:
    """Bounds that a follower which looks too seldom cannot keep to, and one on a busy machine can."""
    delays: list[float] = []
    for _ in range(9):
        sequence = store.add("default", new_faces("Ada"), basis(0), EMBEDDER).sequence
        acknowledged = time.monotonic()
        caught_up(live, sequence)
        delays.append(time.monotonic() - acknowledged)
    assert min(delays) < 1
    assert sorted(delays)[len(delays) // 2] < 2


def spoil(path: Path, label: str, embedding: bytes) -> bytes:
    """Give a face another embedding behind the store's back, and tell the one it had."""
    with sqlite3.connect(path) as connection:
        (before,) = connection.execute("SELECT embedding FROM faces WHERE label = ?", (label,)).fetchone()
        connection.execute("UPDATE faces SET embedding = ? WHERE label = ?", (embedding, label))
    connection.close()
    assert isinstance(before, bytes)
    return before


def test_a_gallery_that_cannot_follow_does_not_hold_up_the_others_and_is_tried_again(
    store: GalleryStore,
    live: LiveGalleries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("broken", "changed", "dropped", "renamed"):
        store.build(name, new_faces("Ada"), basis(0), EMBEDDER)
    wait_for(lambda: live.sequence == store.sequence())
    with live._changing:  # it cannot look
        store.add("broken", new_faces("Noor"), basis(2), EMBEDDER)
        store.add("changed", new_faces("Grace"), basis(1), EMBEDDER)
        store.drop("dropped")
        store.rename("renamed", "new name")
        store.build("new", new_faces("Mary"), basis(3), EMBEDDER)
        embedding = spoil(tmp_path / "gallery.sqlite3", "Noor", b"four")
        monkeypatch.setattr(retries, "_RETRY_SECONDS", 0.1)
    wait_for(lambda: live.store_sequence == store.sequence())
    assert names(live, "changed", 1) == ["Grace"]
    assert names(live, "new", 3) == ["Mary"]
    assert names(live, "new name", 0) == ["Ada"]
    for gone in ("dropped", "renamed"):
        with pytest.raises(NotFound):
            live.search(gone, basis(0), 1)
    assert names(live, "broken", 2, topk=9) == ["Ada"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "gallery 'broken' cannot follow the store" in caplog.text
    assert live.sequence < live.store_sequence

    spoil(tmp_path / "gallery.sqlite3", "Noor", embedding)
    wait_for(lambda: live.sequence == live.store_sequence)
    assert names(live, "broken", 2) == ["Noor"]
    assert "gallery 'broken' follows the store again" in caplog.text


def test_a_gallery_that_cannot_be_loaded_does_not_keep_the_others_from_a_start(
    store: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "_RETRY_SECONDS", 0.1)
    store.build("broken", new_faces("Noor"), basis(2), EMBEDDER)
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    embedding = spoil(tmp_path / "gallery.sqlite3", "Noor", b"four")
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    assert "gallery 'broken' cannot be loaded" in caplog.text
    assert names(live, "people", 0) == ["Ada"]
    with pytest.raises(Unavailable, match=r"'broken' cannot be loaded, and is tried again: .*reshape"):
        live.search("broken", basis(2), 1)
    spoil(tmp_path / "gallery.sqlite3", "Noor", embedding)
    wait_for(lambda: "broken" in {status.name for status in live.status()})
    assert names(live, "broken", 2) == ["Noor"]
    live.stop()


def test_a_gallery_left_half_changed_is_made_anew(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = store.build("people", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER).ids
    assert names(live, "people", 0) == ["Ada"]
    remove = FaceLabels.remove
    failures = [MemoryError()]

    def fails_once(self: FaceLabels, ids: np.ndarray) -> None:
        if failures:
            raise failures.pop()
        remove(self, ids)

    monkeypatch.setattr(FaceLabels, "remove", fails_once)
    caught_up(live, store.remove("people", ids=ids[:1]).sequence)
    assert "gallery 'people' cannot follow the store" in caplog.text
    assert names(live, "people", 0, topk=9) == ["Grace"]
    assert {status.rebuilds for status in live.status() if status.name == "people"} == {1}


def test_a_gallery_left_half_changed_is_not_saved(
    store: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file would be taken for a whole one at the next start."""
    vectors = unit_vectors(6000, 1, DIMENSION)
    ids = store.build("people", [NewFace(label="Ada")] * 6000, vectors, EMBEDDER).ids
    live = LiveGalleries(store, EMBEDDER, DIMENSION, folder=tmp_path / "indices")
    live.start()
    caught_up(
        live, store.add("people", [NewFace(label="Ada")] * 2000, unit_vectors(2000, 2, DIMENSION), EMBEDDER).sequence
    )

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(FaceLabels, "remove", fail)
    monkeypatch.setattr(Builder, "load", fail)
    store.remove("people", ids=ids[:10])
    wait_for(lambda: not live._state.loaded["people"].whole)
    live.stop()
    monkeypatch.undo()
    again = LiveGalleries(store, EMBEDDER, DIMENSION, folder=tmp_path / "indices")
    again.start()
    page, embeddings = store.page_with_embeddings("people", limit=10_000)
    assert again.search("people", embeddings, 1).ids[:, 0].tolist() == [face.id for face in page.faces]
    again.stop()


def test_galleries_that_a_change_does_not_touch_are_not_asked_about_nor_locked(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        store.build(f"people-{number}", new_faces("Ada"), basis(0), EMBEDDER)
    wait_for(lambda: live.sequence == store.sequence())
    asked: list[str] = []
    changes = Snapshot.changes

    def observed(self: Snapshot, gallery: GalleryKey, since: int, until: int | None = None) -> Changes:
        asked.append(gallery.name)
        return changes(self, gallery, since, until)

    monkeypatch.setattr(Snapshot, "changes", observed)
    with live._state.loaded["people-1"]._lock.reading():  # as a search that takes long
        caught_up(live, store.add("people-3", new_faces("Grace"), basis(1), EMBEDDER).sequence)
    assert asked == ["people-3"]
    assert names(live, "people-3", 1) == ["Grace"]
    assert {status.sequence for status in live.status()} == {store.sequence()}


def test_a_gallery_of_another_embedder_is_refused_until_it_is_built_again(
    store: GalleryStore, live: LiveGalleries
) -> None:
    for gallery, embedder, dimension in [("old", "sha256:fedcba9876543210", DIMENSION), ("short", EMBEDDER, 4)]:
        store.build(gallery, new_faces("Ada"), unit_vectors(1, 1, dimension), embedder)
        with pytest.raises(
            InvalidRequest, match=rf"'{gallery}'.*\(dimension {dimension}\).*0123456789ab .*re-embed"
        ) as no:
            live.search(gallery, basis(0), 1)
        assert no.value.code == "embedder_mismatch"
        assert ("fedcba987654 " in str(no.value)) == (gallery == "old")
        caught_up(live, store.build(gallery, new_faces("Ada"), basis(0), EMBEDDER, replace=True).sequence)
        assert names(live, gallery, 0) == ["Ada"]


def test_a_loaded_gallery_that_another_embedder_takes_over_is_refused(store: GalleryStore, live: LiveGalleries) -> None:
    caught_up(live, store.build("default", new_faces("Ada"), basis(0), "other embedder", replace=True).sequence)
    with pytest.raises(InvalidRequest, match="other embedd"):
        live.search("default", basis(0), 1)


@pytest.mark.parametrize("shape", [(1, DIMENSION + 1), (DIMENSION,), (1, 1, DIMENSION)])
def test_probes_of_the_wrong_shape_are_refused(live: LiveGalleries, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match=rf"\[N, {DIMENSION}\]") as refused:
        live.search("default", np.zeros(shape, np.float32), 1)
    assert refused.value.code == "invalid_embedding"


def test_a_probe_without_direction_matches_nobody_and_harms_no_other(store: GalleryStore, live: LiveGalleries) -> None:
    """A NaN is like nobody: its row is padding, and the rows beside it are answered."""
    store.build("people", new_faces("Ada", "Grace"), basis(0, 1), EMBEDDER)
    probes = np.concatenate([np.full((1, DIMENSION), np.nan, np.float32), basis(1)])
    found = live.search("people", probes, 2)
    assert (found.ids[0].tolist(), found.labels[0], found.scores[0].tolist()) == ([-1, -1], ["", ""], [0, 0])
    assert found.labels[1] == ["Grace", "Ada"]


def test_no_search_sees_half_a_change(store: GalleryStore, live: LiveGalleries) -> None:
    """Pairs come and go together while several threads search: there is always a whole number of pairs."""
    pair = new_faces("left", "right")
    store.build("people", pair, basis(0, 1), EMBEDDER)
    failures: list[str] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                labels = live.search("people", basis(0), 50).labels[0]
            except Exception as error:
                failures.append(repr(error))
            else:
                if "" in labels or labels.count("left") != labels.count("right"):
                    failures.append(repr(labels))

    def change() -> int:
        ids = store.add("people", pair, basis(0, 1), EMBEDDER).ids
        return store.remove("people", ids=ids).sequence

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        store.add("people", pair, basis(0, 1), EMBEDDER)
        caught_up(live, change())
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(live.search("people", basis(0), 50).ids[0]) == 32


def test_two_followers_that_start_at_once_agree_on_the_default_gallery(url: str) -> None:
    stores = [GalleryStore(url) for _ in range(4)]
    lives = [LiveGalleries(store, EMBEDDER, DIMENSION) for store in stores]
    threads = [threading.Thread(target=live.start) for live in lives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info.name for info in stores[0].galleries()] == ["default"]
    sequence = stores[0].add("default", new_faces("Ada"), basis(0), EMBEDDER).sequence
    for live, store in zip(lives, stores, strict=True):
        caught_up(live, sequence)
        assert names(live, "default", 0) == ["Ada"]
        live.stop()
        store.close()


def test_stop_ends_the_thread_and_the_last_state_is_still_served(store: GalleryStore) -> None:
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.stop()  # before the start, as after a start that failed
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    assert "gallery-follower" in [thread.name for thread in threading.enumerate()]
    live.stop()
    assert "gallery-follower" not in [thread.name for thread in threading.enumerate()]
    assert live.search("default", basis(0), 1).labels == [[]]


def test_start_refuses_a_store_that_cannot_be_used(url: str, tmp_path: Path) -> None:
    store = GalleryStore(url, busy_timeout=0.1)
    other = sqlite3.connect(tmp_path / "gallery.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    with pytest.raises(Unavailable):
        live.start()
    live.stop()
    other.execute("ROLLBACK")
    store.close()


@pytest.mark.parametrize("mount_point_remains", [False, True])
def test_an_outage_is_logged_once_and_followed_by_recovery(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mount_point_remains: bool
) -> None:
    """The store's folder goes away, as when its disk is unmounted, and comes back."""
    disk, away = tmp_path / "disk", tmp_path / "away"
    disk.mkdir()
    url = f"sqlite:///{disk}/gallery.sqlite3"
    store = GalleryStore(url)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    caught_up(live, store.add("default", new_faces("Ada"), basis(0), EMBEDDER).sequence)
    disk.rename(away)
    if mount_point_remains:
        disk.mkdir()  # SQLite makes a new, empty file here
    store.close()  # the next look must open the file anew
    wait_for(lambda: len(caplog.records) > 0)
    time.sleep(0.5)  # several more looks, of which nothing should be heard
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert ("cannot be opened" in caplog.text) != mount_point_remains
    assert ("Traceback" in caplog.text) == mount_point_remains
    assert names(live, "default", 0) == ["Ada"]
    if mount_point_remains:
        disk.rename(tmp_path / "hidden")
    else:
        with pytest.raises(Unavailable, match="cannot be opened"):
            live.search("people", basis(0), 1)

    away.rename(disk)
    writer = GalleryStore(url)
    caught_up(live, writer.add("default", new_faces("Grace"), basis(1), EMBEDDER).sequence)
    assert names(live, "default", 1) == ["Grace"]
    wait_for(lambda: len(caplog.records) == 2)
    assert "following the gallery store again" in caplog.records[1].getMessage()
    live.stop()
    writer.close()
    store.close()


def test_an_error_nobody_foresaw_is_logged_with_its_traceback_and_outlived(
    store: GalleryStore, live: LiveGalleries, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    other = sqlite3.connect(tmp_path / "gallery.sqlite3", isolation_level=None)
    other.execute("ALTER TABLE changes RENAME TO renamed")
    wait_for(lambda: len(caplog.records) > 0)
    assert "Traceback" in caplog.text
    other.execute("ALTER TABLE renamed RENAME TO changes")
    caught_up(live, store.add("people", new_faces("Grace"), basis(1), EMBEDDER).sequence)
    assert names(live, "people", 1) == ["Grace"]


def test_an_older_copy_put_in_the_store_s_place_is_loaded_afresh(
    store: GalleryStore, live: LiveGalleries, tmp_path: Path
) -> None:
    kept = store.build("people", new_faces("Ada"), basis(0), EMBEDDER)
    backup = sqlite3.connect(tmp_path / "backup.sqlite3")
    current = sqlite3.connect(tmp_path / "gallery.sqlite3")
    current.backup(backup)
    caught_up(live, store.add("people", new_faces("Grace"), basis(1), EMBEDDER).sequence)
    assert names(live, "people", 1) == ["Grace"]
    backup.backup(current)
    wait_for(lambda: live.sequence == kept.sequence)
    assert names(live, "people", 1, topk=9) == ["Ada"]
