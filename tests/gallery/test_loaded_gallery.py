from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, basis, unit_vectors, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st

from toonface_gallery.faiss_in_place import FlatIndex
from toonface_gallery.faiss_marked import MarkedIndex
from toonface_gallery.index import Encoded, FaceIndex
from toonface_gallery.labels import FaceLabels
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.plan import plan
from toonface_gallery.snapshot import EnrolledFaces, GalleryKey


def flat() -> FlatIndex:
    return FlatIndex("Flat", "", DIMENSION, "IP")


def people(index: FaceIndex) -> LoadedGallery:
    key = GalleryKey(1, "people", DIMENSION, EMBEDDER)
    return LoadedGallery(key, plan(key.index, 0, DIMENSION, 0), index)


def faces(**enrolled: int) -> EnrolledFaces:
    """Faces by label, each with its id, along the axis of the same number."""
    ids = list(enrolled.values())
    return EnrolledFaces(np.array(ids, np.int64), list(enrolled), basis(*ids))


def test_a_change_applied_again_changes_nothing() -> None:
    gallery = people(flat())
    gallery.apply([], [faces(Ada=1, Grace=2)])
    for _ in range(2):
        gallery.apply([1], [faces(Noor=3), faces(Mary=4)])
        found = gallery.search(basis(2), 9)
        assert found.labels[0][0] == "Grace"
        assert sorted(found.ids[0].tolist()) == [2, 3, 4]


def test_part_of_a_change_that_is_there_already_is_passed_over() -> None:
    gallery = people(flat())
    gallery.apply([], [faces(Ada=1)])
    gallery.apply([5], [faces(Ada=1, Grace=2)])
    assert sorted(gallery.search(basis(1), 9).labels[0]) == ["Ada", "Grace"]


def test_a_face_with_another_embedding_or_label_is_found_as_it_is_now() -> None:
    gallery = people(flat())
    gallery.apply([], [faces(Ada=1, Grace=2, Noor=3)])
    moved = EnrolledFaces(np.array([1]), ["Mary"], basis(5))
    gallery.apply([1, 3], [moved], [(2, "Zoe"), (3, "gone"), (77, "never there")])
    found = gallery.search(basis(5, 2), 9)
    assert [row[0] for row in found.labels] == ["Mary", "Zoe"]
    assert sorted(found.ids[0].tolist()) == [1, 2]


def test_grouped_matches_are_of_different_labels_each_with_its_nearest_face() -> None:
    angles = np.linspace(0, 1.5, 90)
    vectors = (np.cos(angles)[:, np.newaxis] * basis(0) + np.sin(angles)[:, np.newaxis] * basis(1)).astype(np.float32)
    labels = ["Ada"] * 60 + ["Grace", "Ada"] * 10 + ["Noor"] * 10
    gallery = people(flat())
    gallery.apply([], [EnrolledFaces(np.arange(100, 190), labels, vectors)])
    found = gallery.search(np.concatenate([basis(0), basis(1)]), 5, "label")
    assert found.labels == [["Ada", "Grace", "Noor"], ["Noor", "Ada", "Grace"]]
    assert found.ids.tolist() == [[100, 160, 180], [189, 179, 178]]
    np.testing.assert_allclose(found.scores[0], np.cos(angles[[0, 60, 80]]), atol=1e-6)
    assert gallery.search(basis(0), 2, "label").labels == [["Ada", "Grace"]]

    gallery.apply(list(range(180, 190)), [])
    assert gallery.search(basis(1), 5, "label").labels == [["Ada", "Grace"]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "remove", "restart"]),
            st.sets(st.integers(1, 20), max_size=10).map(sorted),
            st.integers(0, 6),
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_labels_agree_with_a_dictionary(changes: list[tuple[str, list[int], int]]) -> None:
    labels = FaceLabels()
    model: dict[int, str] = {}
    for kind, chosen, number in changes:
        if kind == "set":
            names = [f"label {face * number % 7}" for face in chosen]
            labels.set(np.array(chosen, np.int64), names)
            model |= zip(chosen, names, strict=True)
        elif kind == "remove":
            gone = [face for face in chosen if face in model]
            labels.remove(np.array(gone, np.int64))
            for face in gone:
                del model[face]
        else:
            labels = restarted(labels)
        everything = np.arange(1, 21).reshape(2, 10)
        assert labels.names(everything) == [[model.get(face, "") for face in row] for row in everything.tolist()]
        assert (len(labels), labels.distinct) == (len(model), len(set(model.values())))
        there = list(model)
        first = labels.first_of_each(np.array([there], np.int64))[0]
        assert [model[face] for face, is_first in zip(there, first, strict=True) if is_first] == list(
            dict.fromkeys(model.values())
        )


def restarted(labels: FaceLabels) -> FaceLabels:
    saved = io.BytesIO()
    labels.freeze().save(saved)
    restored = FaceLabels()
    restored.restore(io.BytesIO(saved.getvalue()))
    return restored


def size(labels: FaceLabels) -> int:
    saved = io.BytesIO()
    labels.freeze().save(saved)
    return len(saved.getvalue())


def test_labels_that_come_and_go_leave_nothing_behind() -> None:
    labels = FaceLabels()
    labels.set(np.array([1, 2]), ["Ada", "Grace"])
    before = size(labels)
    for turn in range(500):
        ids = np.arange(10 * turn + 10, 10 * turn + 13)
        labels.set(ids, [f"visitor {face}" for face in ids])
        labels.set(ids[:1], [f"known as {turn}"])
        labels.remove(ids)
    assert labels.distinct == 2
    assert size(labels) < before + 100
    assert size(restarted(labels)) == before
    labels.set(np.array([7]), ["Noor"])
    assert labels.names(np.array([[1, 2, 7, 10]])) == [["Ada", "Grace", "Noor", ""]]


class SlowIndex(FlatIndex):
    """A flat index whose changes and searches take long enough to meet, and that counts how often they do."""

    def __init__(self) -> None:
        super().__init__("Flat", "", DIMENSION, "IP")
        self.changing = False
        self.met = 0

    def add(self, ids: np.ndarray, encoded: Encoded) -> None:
        self.changing = True
        super().add(ids, encoded)
        time.sleep(0.01)
        self.changing = False

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.met += self.changing
        time.sleep(0.005)
        self.met += self.changing
        return super().search(vectors, k)


def test_changes_get_through_under_constant_searching_and_never_meet_a_search() -> None:
    index = SlowIndex()
    gallery = people(index)
    gallery.apply([], [faces(Ada=1)])
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            gallery.search(basis(1), 5)

    def change() -> None:
        for _ in range(10):
            gallery.apply([2], [faces(Grace=2)])

    searchers = [threading.Thread(target=search) for _ in range(4)]
    changer = threading.Thread(target=change, daemon=True)
    for thread in [*searchers, changer]:
        thread.start()
    changer.join(30)
    starved = changer.is_alive()
    done.set()
    for thread in searchers:
        thread.join()
    assert (starved, index.met) == (False, 0)


class WatchedGraph(MarkedIndex):
    """A graph that notes what its searches find."""

    def __init__(self) -> None:
        super().__init__("HNSW32", "efSearch=128", DIMENSION, "IP")
        self.found: list[list[int]] = []

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, ids = super().search(vectors, k)
        self.found.append(ids[0].tolist())
        return scores, ids


def test_a_search_waits_for_no_more_than_a_step_of_a_large_addition_and_finds_all_of_it_or_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faiss.omp_set_num_threads(1)
    graph = WatchedGraph()
    gallery = people(graph)
    gallery.apply([], [faces(Ada=1)])
    take_up = graph._take_up
    searchers: list[threading.Thread] = []
    answered: list[int] = []

    def meet(vectors: np.ndarray) -> None:
        """A search begins during each step."""
        answered.append(len(graph.found))
        searchers.append(threading.Thread(target=gallery.search, args=(basis(1), 9)))
        searchers[-1].start()
        wait_for(lambda: gallery._lock._kept_waiting == 1)
        take_up(vectors)

    monkeypatch.setattr(graph, "_take_up", meet)
    labels, vectors = [f"person {number}" for number in range(300)], unit_vectors(300, seed=1)
    gallery.apply([], [EnrolledFaces(np.arange(100, 400), labels, vectors)])
    for searcher in searchers:
        searcher.join()
    assert answered == [0, 1, 2, 3, 4]
    assert graph.found == [[1]] * 5
    assert [row[0] for row in gallery.search(vectors, 1).labels] == labels


def test_searches_run_side_by_side() -> None:
    both_inside = threading.Barrier(2, timeout=20)

    class MeetingIndex(FlatIndex):
        def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            both_inside.wait()
            return super().search(vectors, k)

    gallery = people(MeetingIndex("Flat", "", DIMENSION, "IP"))
    gallery.apply([], [faces(Ada=1)])
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: gallery.search(basis(1), 1).labels, range(2)))
    assert found == [[["Ada"]], [["Ada"]]]
