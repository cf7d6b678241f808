from __future__ import annotations

import threading
import time

import numpy as np
from gallery_helpers import DIMENSION, basis, brute_force, unit_vectors

from toonface_gallery.index import FlatIndex


def filled(count: int, seed: int, dimension: int = DIMENSION) -> tuple[FlatIndex, dict[int, np.ndarray]]:
    """An index whose ids are neither dense nor in order, and what is in it."""
    ids = np.random.default_rng(seed).permutation(count * 3)[:count].astype(np.int64) + 2**40
    vectors = unit_vectors(count, seed, dimension)
    index = FlatIndex(dimension)
    index.add(ids, vectors)
    return index, dict(zip(ids.tolist(), vectors, strict=True))


def assert_agrees(index: FlatIndex, faces: dict[int, np.ndarray], probes: np.ndarray, k: int) -> None:
    scores, ids = index.search(probes, k)
    expected_ids, expected_scores = brute_force(faces, probes, k)
    assert ids.tolist() == expected_ids
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


def test_search_agrees_with_double_precision_for_one_probe_and_for_many() -> None:
    """FAISS takes another path, by BLAS, from 20 probes on."""
    index, faces = filled(500, seed=1, dimension=64)
    for probes in (1, 3, 64):
        assert_agrees(index, faces, unit_vectors(probes, seed=probes, dimension=64), k=7)


def test_search_agrees_after_removal_and_further_faces() -> None:
    index, faces = filled(300, seed=2)
    gone = list(faces)[::3]
    index.remove(np.array(gone, np.int64))
    for face in gone:
        del faces[face]
    assert len(index) == 200
    assert_agrees(index, faces, unit_vectors(30, seed=9), k=200)

    more = unit_vectors(50, seed=10)
    index.add(np.arange(50), more)
    faces |= dict(enumerate(more))
    assert_agrees(index, faces, unit_vectors(5, seed=11), k=250)


def test_an_index_can_be_emptied_and_filled_again() -> None:
    index, faces = filled(10, seed=3)
    index.remove(np.array(list(faces), np.int64))
    assert len(index) == 0
    index.add(np.array([7]), basis(2))
    scores, ids = index.search(basis(2, 3), 1)
    assert (ids.tolist(), scores.tolist()) == ([[7], [7]], [[1.0], [0.0]])


def test_places_beyond_the_last_face_have_id_minus_one() -> None:
    index, faces = filled(2, seed=4)
    _, ids = index.search(basis(0), 5)
    assert set(ids[0, :2].tolist()) == set(faces)
    assert ids[0, 2:].tolist() == [-1, -1, -1]


def test_no_probes_give_no_rows() -> None:
    index, _ = filled(5, seed=5)
    scores, ids = index.search(np.empty((0, DIMENSION), np.float32), 3)
    assert (scores.shape, ids.shape) == ((0, 3), (0, 3))


def test_a_search_stays_on_the_thread_that_asked() -> None:
    """Threads of the process at large do not compute, although a new thread's default is one for each core."""
    index, _ = filled(40_000, seed=6, dimension=128)
    probes = unit_vectors(200, seed=7, dimension=128)
    used: list[float] = []

    def search() -> None:
        others = time.process_time() - time.thread_time()
        index.search(probes, 5)
        used.append(time.process_time() - time.thread_time() - others)
        used.append(time.thread_time())

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    by_others, by_this_one = used
    assert by_others < by_this_one / 4
