from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from gallery_helpers import DIMENSION, EMBEDDER, basis

from toonface_gallery.index import FaceIndex, FlatIndex
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.snapshot import EnrolledFaces, GalleryKey


def people(index: FaceIndex) -> LoadedGallery:
    return LoadedGallery(GalleryKey(1, "people", DIMENSION, EMBEDDER), index)


def faces(**enrolled: int) -> EnrolledFaces:
    """Faces by label, each with its id, along the axis of the same number."""
    ids = list(enrolled.values())
    return EnrolledFaces(np.array(ids, np.int64), list(enrolled), basis(*ids))


def test_a_change_applied_again_changes_nothing() -> None:
    gallery = people(FlatIndex(DIMENSION))
    gallery.apply([], [faces(Ada=1, Grace=2)])
    for _ in range(2):
        gallery.apply([1], [faces(Noor=3), faces(Mary=4)])
        found = gallery.search(basis(2), 9)
        assert found.labels[0][0] == "Grace"
        assert sorted(found.ids[0].tolist()) == [2, 3, 4]


def test_part_of_a_change_that_is_there_already_is_passed_over() -> None:
    gallery = people(FlatIndex(DIMENSION))
    gallery.apply([], [faces(Ada=1)])
    gallery.apply([5], [faces(Ada=1, Grace=2)])
    assert sorted(gallery.search(basis(1), 9).labels[0]) == ["Ada", "Grace"]


class SlowIndex(FlatIndex):
    """A flat index whose changes and searches take long enough to meet, and that counts how often they do."""

    def __init__(self) -> None:
        super().__init__(DIMENSION)
        self.changing = False
        self.met = 0

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.changing = True
        super().add(ids, vectors)
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


def test_searches_run_side_by_side() -> None:
    both_inside = threading.Barrier(2, timeout=20)

    class MeetingIndex(FlatIndex):
        def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            both_inside.wait()
            return super().search(vectors, k)

    gallery = people(MeetingIndex(DIMENSION))
    gallery.apply([], [faces(Ada=1)])
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: gallery.search(basis(1), 1).labels, range(2)))
    assert found == [[["Ada"]], [["Ada"]]]
