"""Indices that change their kind while they serve: growth, other settings, wear; nothing waits, nothing is lost."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, held_builds, new_faces, unit_vectors, wait_for

from toonface_contract.admin import FaceUpdate, IndexSettings, NewFace
from toonface_contract.errors import NotFound, Unavailable
from toonface_gallery import builder, plan, rows
from toonface_gallery import live as live_module
from toonface_gallery.builder import Builder
from toonface_gallery.live import GalleryStatus, LiveGalleries
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.snapshot import GalleryKey
from toonface_gallery.store import GalleryStore


def status(live: LiveGalleries, gallery: str = "people") -> GalleryStatus:
    (found,) = [each for each in live.status() if each.name == gallery]
    return found


def people(count: int, first: int = 0) -> list[NewFace]:
    return [NewFace(label=f"person {number}") for number in range(first, first + count)]


def found_by_own_picture(live: LiveGalleries, vectors: np.ndarray) -> list[int]:
    labels = [row[0] for row in live.search("people", vectors, 1).labels]
    return [int(label.removeprefix("person ")) for label in labels]


def test_a_gallery_that_grows_gets_another_index_while_it_is_searched(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "FLAT_MOST", 1000)
    vectors = unit_vectors(3000, seed=1)
    store.build("people", people(500), vectors[:500], EMBEDDER)
    assert found_by_own_picture(live, vectors[:50]) == list(range(50))
    assert status(live).index == "Flat"
    failures: list[str] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                if found_by_own_picture(live, vectors[:20]) != list(range(20)):
                    failures.append("wrong")
            except Exception as error:
                failures.append(repr(error))

    searcher = threading.Thread(target=search)
    searcher.start()
    try:
        sequence = 0
        for first in range(500, 3000, 100):
            sequence = store.add("people", people(100, first), vectors[first : first + 100], EMBEDDER).sequence
        wait_for(lambda: live.sequence >= sequence and status(live).index.endswith(",Refine(SQfp16)"))
    finally:
        stop.set()
        searcher.join()
    assert failures == []
    assert found_by_own_picture(live, vectors) == list(range(3000))
    assert "compared by codes" in status(live).reason
    assert status(live).rebuilds >= 1

    ids = [face.id for face in store.page("people", limit=2900).faces]
    sequence = store.remove("people", ids=ids).sequence
    wait_for(lambda: live.sequence >= sequence and status(live).index == "Flat")
    assert sorted(set(found_by_own_picture(live, vectors))) == list(range(2900, 3000))


@pytest.mark.parametrize(
    "kind", ["IVF16,Flat;nprobe=16", "HNSW32", "SQ8,RFlat", "IVF16,RaBitQ,Refine(SQfp16);nprobe=16"]
)
def test_other_settings_change_the_index_of_a_gallery_that_serves(
    store: GalleryStore, live: LiveGalleries, kind: str
) -> None:
    vectors = unit_vectors(1200, seed=1)
    store.build("people", people(1200), vectors, EMBEDDER)
    assert found_by_own_picture(live, vectors[:5]) == list(range(5))
    store.configure("people", IndexSettings(type=kind))
    wait_for(lambda: status(live).index != "Flat")
    assert found_by_own_picture(live, vectors) == list(range(1200))
    sequence = store.add("people", new_faces("person 9999"), basis(0), EMBEDDER).sequence
    wait_for(lambda: live.sequence >= sequence)
    assert found_by_own_picture(live, basis(0)) == [9999]


@pytest.mark.parametrize("failure", [None, MemoryError("too large"), RuntimeError("Error: FAISS fails")])
def test_changes_are_followed_while_other_settings_wait_for_their_index(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    vectors = unit_vectors(50, seed=1)
    ids = store.build("people", people(50), vectors, EMBEDDER).ids
    assert found_by_own_picture(live, vectors[:5]) == list(range(5))
    begun, released = threading.Event(), threading.Event()
    build = Builder.build

    def slow(self: Builder, key: GalleryKey, threads: int) -> LoadedGallery:
        begun.set()
        if failure is not None:
            raise failure
        released.wait(60)
        return build(self, key, threads)

    monkeypatch.setattr(Builder, "build", slow)
    store.configure("people", IndexSettings(type="HNSW32"))
    assert begun.wait(20)
    store.add("people", people(1, first=99), basis(0), EMBEDDER)
    sequence = store.remove("people", ids=ids[:1]).sequence
    wait_for(lambda: live.sequence >= sequence)
    assert status(live).index == "Flat"
    assert found_by_own_picture(live, basis(0)) == [99]
    assert found_by_own_picture(live, vectors[:1]) != [0]
    released.set()
    if failure is None:
        wait_for(lambda: status(live).index.startswith("HNSW32"))
        assert found_by_own_picture(live, basis(0)) == [99]
        assert found_by_own_picture(live, vectors[:1]) != [0]


def test_an_index_is_built_without_a_transaction_that_lasts_and_with_what_changes_meanwhile(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_PORTION", 50)
    vectors = unit_vectors(300, seed=1)
    ids = store.build("people", people(200), vectors[:200], EMBEDDER).ids
    moved = [FaceUpdate(id=ids[10]), FaceUpdate(id=ids[170])]
    renamed = [FaceUpdate(id=ids[20], label="person 777"), FaceUpdate(id=ids[180], label="person 888")]
    to_do = [
        lambda: store.remove("people", ids=[*ids[:3], *ids[190:193]]),
        lambda: store.update("people", renamed),
        lambda: store.update("people", moved, vectors[298:], EMBEDDER),
        lambda: store.add("people", people(90, first=200), vectors[200:290], EMBEDDER),
    ]
    transactions: list[int] = []
    apply = LoadedGallery.apply

    def observed(self: LoadedGallery, *change: object) -> None:
        transactions.append(store._database._engine.pool.checkedout())
        apply(self, *change)
        if to_do:
            to_do.pop(0)()

    monkeypatch.setattr(LoadedGallery, "apply", observed)
    with store.snapshot() as snapshot:
        (key,) = snapshot.galleries()
    made = Builder(store, None, 1 << 30, threading.Event()).build(key, 1)
    assert len(transactions) > 4
    assert set(transactions) == {0}
    with store.snapshot() as snapshot:
        assert made.position == snapshot.position()
    page, embeddings = store.page_with_embeddings("people", limit=1000)
    found = made.search(embeddings, 1)
    assert len(made) == len(page.faces) == 284
    assert found.ids[:, 0].tolist() == [face.id for face in page.faces]
    assert [row[0] for row in found.labels] == [face.label for face in page.faces]


def test_an_index_that_took_too_long_is_dropped_with_a_word_and_made_anew(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rows.trim, "__defaults__", (5,))
    calls: list[int] = []
    bring_up = Builder.bring_up

    def slow(self: Builder, gallery: LoadedGallery) -> int:
        changed = bring_up(self, gallery)
        calls.append(changed)
        if len(calls) == 2:  # after the build, and before the index is put in place
            for _ in range(30):
                store.add("people", new_faces("new"), basis(3), EMBEDDER)
            with pytest.raises(Unavailable, match="'people'.*cannot be told any more"):
                bring_up(self, gallery)
        return changed

    monkeypatch.setattr(Builder, "bring_up", slow)
    store.build("people", people(3), basis(0, 1, 2), EMBEDDER)
    wait_for(lambda: "people" in {each.name for each in live.status()})
    assert "'people': the index that was made is dropped" in caplog.text
    assert status(live).faces == 33


def test_a_type_that_cannot_serve_does_not_take_the_gallery_away(
    store: GalleryStore, live: LiveGalleries, caplog: pytest.LogCaptureFixture
) -> None:
    store.build("people", people(3), basis(0, 1, 2), EMBEDDER, index=IndexSettings(type="Nonsense"))
    assert found_by_own_picture(live, basis(1)) == [1]
    assert status(live).index == "Flat"
    for axis in (3, 4, 5):
        sequence = store.add("people", people(1, first=axis), basis(axis), EMBEDDER).sequence
        wait_for(lambda sequence=sequence: live.sequence >= sequence)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "'Nonsense'" in caplog.text


def test_a_worn_graph_is_built_anew(store: GalleryStore, live: LiveGalleries) -> None:
    vectors = unit_vectors(400, seed=1)
    built = store.build("people", people(400), vectors, EMBEDDER, index=IndexSettings(type="HNSW32"))
    wait_for(lambda: live.sequence >= built.sequence)
    ids = built.ids
    assert found_by_own_picture(live, vectors[:3]) == [0, 1, 2]
    sequence = store.remove("people", ids=ids[:200]).sequence
    wait_for(lambda: live.sequence >= sequence and status(live).rebuilds == 1)
    assert found_by_own_picture(live, vectors[200:]) == list(range(200, 400))
    assert len(live.search("people", vectors[:1], 400).ids[0]) == 200


def test_what_an_index_learnt_is_learnt_anew_once_the_gallery_is_more_than_four_times_as_large(
    store: GalleryStore, live: LiveGalleries
) -> None:
    vectors = unit_vectors(4001, seed=1)
    built = store.build("people", people(1000), vectors[:1000], EMBEDDER, index=IndexSettings(type="SQ8"))
    wait_for(lambda: live.sequence >= built.sequence)
    sequence = store.add("people", people(3000, 1000), vectors[1000:4000], EMBEDDER).sequence
    wait_for(lambda: live.sequence >= sequence)
    assert live._builder.keeps(live._state.loaded["people"])
    assert (status(live).faces, status(live).rebuilds) == (4000, 0)
    sequence = store.add("people", people(1, 4000), vectors[4000:], EMBEDDER).sequence
    wait_for(lambda: live.sequence >= sequence and live._builder.keeps(live._state.loaded["people"]))
    assert (status(live).index, status(live).rebuilds) == ("SQ8", 1)


def test_a_replaced_gallery_serves_until_its_successor_does(store: GalleryStore, live: LiveGalleries) -> None:
    store.build("people", people(50), unit_vectors(50, seed=1), EMBEDDER)
    assert len(live.search("people", basis(0), 100).ids[0]) == 50
    seen: Counter[int] = Counter()
    sequence = store.build("people", people(70), unit_vectors(70, seed=2), EMBEDDER, replace=True).sequence
    while live.sequence < sequence:
        seen[len(live.search("people", basis(0), 100).ids[0])] += 1
    assert set(seen) <= {50, 70}
    assert len(live.search("people", basis(0), 100).ids[0]) == 70


def test_a_renamed_gallery_is_found_by_its_new_name_alone(store: GalleryStore, live: LiveGalleries) -> None:
    store.build("people", people(3), basis(0, 1, 2), EMBEDDER)
    store.build("staff", people(1), basis(3), EMBEDDER)
    assert found_by_own_picture(live, basis(2)) == [2]
    sequence = store.rename("people", "staff", replace=True).sequence
    wait_for(lambda: live.sequence >= sequence)
    assert live.search("staff", basis(2), 1).labels == [["person 2"]]
    with pytest.raises(NotFound):
        live.search("people", basis(2), 1)


@pytest.mark.parametrize("replace", [False, True])
def test_a_new_gallery_of_a_name_that_was_given_up_between_two_looks_is_another(
    store: GalleryStore, live: LiveGalleries, replace: bool
) -> None:
    store.build("people", people(3), basis(0, 1, 2), EMBEDDER)
    assert found_by_own_picture(live, basis(2)) == [2]
    other = "default" if replace else "staff"
    with live._changing:  # it cannot look
        store.rename("people", other, replace=replace)
        sequence = store.build("people", people(1, first=7), basis(3), EMBEDDER).sequence
    wait_for(lambda: live.sequence >= sequence)
    assert live.search("people", basis(2), 9).labels == [["person 7"]]
    assert sorted(live.search(other, basis(2), 9).labels[0]) == ["person 0", "person 1", "person 2"]


def test_a_gallery_under_its_new_name_does_not_answer_for_the_one_that_takes_its_old_name(
    store: GalleryStore, live: LiveGalleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_PATIENCE_SECONDS", 0.2)
    store.build("people", people(3), basis(0, 1, 2), EMBEDDER)
    wait_for(lambda: "people" in {each.name for each in live.status()})
    released = held_builds(monkeypatch)
    with live._changing:
        store.rename("people", "staff")
        sequence = store.build("people", people(1, first=7), basis(3), EMBEDDER).sequence
    wait_for(lambda: live.store_sequence >= sequence)
    with pytest.raises(Unavailable, match="'people' is new"):
        live.search("people", basis(2), 9)
    assert live.search("staff", basis(2), 1).labels == [["person 2"]]
    released.set()
    wait_for(lambda: live.sequence >= sequence)
    assert live.search("people", basis(2), 9).labels == [["person 7"]]


def test_a_follower_that_missed_trimmed_changes_loads_the_gallery_anew(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.trim, "__defaults__", (5,))
    store.build("people", people(3), basis(0, 1, 2), EMBEDDER)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    with live._changing:  # it cannot look
        ids = [store.add("people", new_faces("new"), basis(3), EMBEDDER).ids[0] for _ in range(30)]
        sequence = store.remove("people", ids=ids[:10]).sequence
        with store.snapshot() as snapshot:
            assert not snapshot.follows(live._state.position)
    wait_for(lambda: live.sequence >= sequence)
    found = live.search("people", basis(3), 50)
    assert Counter(found.labels[0])["new"] == 20
    live.stop()
