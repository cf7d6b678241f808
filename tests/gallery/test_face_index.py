"""Every kind of index: random changes and searches against brute force, saving, and what is particular to one."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pytest
from gallery_helpers import unit_vectors
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from index_kinds import DIMENSION, Kind, assert_agrees, every_kind, run_machine

from toonface_gallery import faiss_parts
from toonface_gallery.faiss_in_place import FlatIndex, ListIndex
from toonface_gallery.faiss_index import FaissIndex
from toonface_gallery.faiss_marked import MarkedIndex
from toonface_gallery.faiss_parts import PartedIndex
from toonface_gallery.index import Encoded, deepen
from toonface_gallery.two_stage import VectorFile


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few faces lie in several parts."""
    monkeypatch.setattr(faiss_parts, "_BLOCK", 24)


class Changes(RuleBasedStateMachine):
    """The model is a dictionary: id -> vector."""

    kind: Kind

    @initialize()
    def begin(self) -> None:
        self.index = self.kind.make()
        self.faces: dict[int, np.ndarray] = {}
        self.next = 2**40

    @rule(count=st.integers(1, 40), seed=st.integers(0, 5))
    def add(self, count: int, seed: int) -> None:
        ids = np.arange(self.next, self.next + 3 * count, 3)
        self.next += 3 * count
        # Few seeds, so that the same vectors come again; a graph may lose its way to those.
        self.put(ids, unit_vectors(count, self.next if "HNSW" in self.kind.type else seed, DIMENSION))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.faces:
            share = data.draw(st.floats(0, 1))
            gone = [face for face in self.faces if hash((face, share)) % 1000 < 1000 * share]
            self.take(gone)

    @rule(data=st.data(), seed=st.integers(0, 50))
    def replace(self, data: st.DataObject, seed: int) -> None:
        """The same ids with other vectors."""
        if self.faces:
            some = sorted(data.draw(st.sets(st.sampled_from(list(self.faces)), min_size=1, max_size=10)))
            self.take(some)
            self.put(np.array(some), unit_vectors(len(some), seed, DIMENSION))

    @rule()
    def restart(self) -> None:
        saved = io.BytesIO()
        self.index.save(saved)
        self.index = self.kind.make()
        self.index.restore(io.BytesIO(saved.getvalue()))

    @rule(probes=st.sampled_from([0, 1, 3, 25]), k=st.integers(1, 15), seed=st.integers(0, 50))
    def search(self, probes: int, k: int, seed: int) -> None:
        assert len(self.index) == len(self.faces)
        assert_agrees(self.index, self.faces, unit_vectors(probes, seed, DIMENSION), k, self.kind)

    def put(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.index.add(ids, self.index.encode(vectors))
        self.faces |= dict(zip(ids.tolist(), vectors, strict=True))

    def take(self, gone: list[int]) -> None:
        self.index.remove(np.array(gone, np.int64))
        for face in gone:
            del self.faces[face]


@every_kind
def test_random_changes_searches_and_restarts_agree_with_brute_force(kind: Kind) -> None:
    run_machine(Changes, kind, examples=4, steps=20)


@every_kind
def test_what_is_gone_is_not_found_among_thousands(kind: Kind) -> None:
    """The nearest faces of the probe are all removed, and all the others are still there."""
    vectors = unit_vectors(3000, seed=1, dimension=DIMENSION)
    ids = np.random.default_rng(2).permutation(9000)[:3000].astype(np.int64)
    index = kind.make()
    index.add(ids, index.encode(vectors))
    probe = vectors[:1]
    nearest = np.argsort(-(vectors @ probe[0]))[:500]
    index.remove(ids[nearest])
    kept = np.setdiff1d(np.arange(3000), nearest)
    faces = dict(zip(ids[kept].tolist(), vectors[kept], strict=True))
    exact = kind.type.startswith(("Flat", "SQfp16", "IVF8,Flat"))
    assert_agrees(index, faces, probe, 20, kind if exact else replace(kind, tolerance=max(kind.tolerance, 0.1)))


@every_kind
def test_what_is_encoded_is_found_once_it_is_added(kind: Kind) -> None:
    vectors = unit_vectors(300, seed=1, dimension=DIMENSION)
    index = kind.make()
    index.add(np.arange(100), index.encode(vectors[:100]))
    encoded = index.encode(vectors[100:])
    assert len(index) == 100
    assert_agrees(index, dict(enumerate(vectors[:100])), vectors[100:110], 5, kind)
    index.remove(np.arange(10))
    index.add(np.arange(100, 300), encoded)
    faces = dict(zip(range(10, 300), vectors[10:], strict=True))
    assert_agrees(index, faces, vectors[95:105], 5, kind)


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("Flat", 1e-5), ("SQ8", 0.1), ("PQ8x4", 1), ("IVF8,SQ8;nprobe=8", 0.1)]
)
def test_codes_are_worked_out_before_they_are_added(kind: str, tolerance: float) -> None:
    vectors = unit_vectors(300, seed=1, dimension=DIMENSION)
    index = Kind(kind, tolerance).make()
    nothing = np.empty((0, DIMENSION), np.float32)
    index.add(np.arange(300), Encoded(nothing, index.encode(vectors).prepared))
    assert_agrees(index, dict(enumerate(vectors)), vectors[:10], 5, Kind(kind, tolerance))


@pytest.mark.parametrize("factory", ["HNSW32", "PQ8x4fs"])
def test_a_marked_index_takes_up_many_vectors_in_steps_between_which_it_can_be_searched(factory: str) -> None:
    faiss.omp_set_num_threads(1)
    vectors = unit_vectors(1500, seed=1, dimension=DIMENSION)
    index = MarkedIndex(factory, "", DIMENSION, "IP")
    if not index.trained:
        index.train(vectors)
    index.add(np.arange(500), index.encode(vectors[:500]))
    steps: list[int] = []

    @contextmanager
    def alone() -> Iterator[None]:
        _, ids = index.search(vectors[700:701], 5)
        assert np.all((ids >= 0) & (ids < 500))
        before = index._index.ntotal
        yield
        steps.append(index._index.ntotal - before)

    encoded = index.encode(vectors[500:], alone)
    assert max(steps) <= 64
    assert sum(steps) == 1000
    index.add(np.arange(500, 1500), encoded)
    assert len(index) == 1500
    assert 700 in index.search(vectors[700:701], 50)[1]


@pytest.mark.parametrize("removed", [0, 10])
def test_an_index_that_can_look_at_so_many_alone_is_asked_for_no_more(
    removed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    search = FaissIndex.search

    def watched(index: FaissIndex, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(k)
        return search(index, vectors, k)

    monkeypatch.setattr(FaissIndex, "search", watched)
    monkeypatch.setattr(MarkedIndex, "_deepest", 40)
    vectors = unit_vectors(500, seed=1, dimension=DIMENSION)
    nearest = np.argsort(-(vectors @ vectors[0]))
    graph = Kind("HNSW32;efSearch=500").make()
    two_stages = Kind("PQ16x4fs,RFlat").make()
    for index in (graph, two_stages):
        index.add(np.arange(500), index.encode(vectors))
        index.remove(nearest[:removed])
    _, ids = graph.search(vectors[:1], 100)
    assert ids[0].tolist() == [*nearest[removed:40].tolist(), *[-1] * (60 + removed)]
    _, ids = two_stages.search(vectors[:1], 100)
    assert np.count_nonzero(ids >= 0) == 40 - removed
    _, ids = deepen(two_stages.search, vectors[:1], 30, 500, lambda ids: ids % 2 == 0)
    assert 0 < np.count_nonzero(ids >= 0) < 30
    assert max(asked) == 40


def test_rows_go_to_the_parts_in_turn() -> None:
    vectors = unit_vectors(1500, seed=1, dimension=DIMENSION)
    whole = MarkedIndex("PQ16x4fs", "", DIMENSION, "IP")
    whole.train(vectors)
    index = PartedIndex(3, "PQ16x4fs", "", DIMENSION, "IP")
    index.train(vectors)
    for start in range(0, 1000, 100):
        ids = np.arange(start, start + 100)
        for each in (whole, index):
            each.add(ids, each.encode(vectors[ids]))
    assert [part.ntotal for part in index._parts] == [336, 336, 328]
    for k in (1, 10, 400, 1100):
        # FAISS keeps a few too many of the nearest before it ranks them, and their scores are coarse.
        scores, ids = index.search(vectors[1000:], k)
        expected, _ = whole.search(vectors[1000:], k)
        assert np.all(np.count_nonzero(ids >= 0, axis=1) == min(k, 1000))
        np.testing.assert_allclose(scores[:, : min(k, 1000)], expected[:, : min(k, 1000)], atol=0.05)


@pytest.fixture
def dirty_memory(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """NumPy's new arrays of floats hold what is given."""
    empty = np.empty

    def dirty(shape: tuple[int, ...], dtype: type = float) -> np.ndarray:
        array = empty(shape, dtype)
        if array.dtype == np.float32:
            array[:] = request.param
        return array

    monkeypatch.setattr(np, "empty", dirty)


_EXTREMES = [np.finfo(np.float32).min, np.finfo(np.float32).max]


@pytest.mark.parametrize("dirty_memory", _EXTREMES, indirect=True, ids=["lowest", "highest"])
@pytest.mark.parametrize("metric", ["IP", "L2"])
@pytest.mark.parametrize(
    "kind",
    [partial(MarkedIndex, "PQ16x4fs"), partial(PartedIndex, 2, "PQ16x4fs"), partial(MarkedIndex, "IVF2,PQ16x4fs")],
    ids=["one", "parts", "lists"],
)
@pytest.mark.usefixtures("dirty_memory")
def test_codes_in_blocks_find_the_same_whatever_memory_held(kind: Callable[..., MarkedIndex], metric: str) -> None:
    vectors = unit_vectors(1000, seed=1, dimension=DIMENSION)
    index = kind("", DIMENSION, metric)
    index.train(vectors)
    index.add(np.arange(1000), index.encode(vectors))
    for k in (1, 2, 20, 21):
        _, ids = index.search(vectors[:30], k)
        assert np.all(ids >= 0)
        assert np.count_nonzero(ids == np.arange(30)[:, np.newaxis]) > 20


def test_lists_are_chosen_by_codes_in_blocks_whatever_memory_held() -> None:
    vectors = unit_vectors(1000, seed=1, dimension=DIMENSION)
    index = ListIndex("IVF16(PQ16x4fs),Flat", "nprobe=16", DIMENSION, "IP")
    index.train(vectors)
    saved = io.BytesIO()
    index.save(saved)
    index.restore(io.BytesIO(saved.getvalue()))
    coarse = faiss.downcast_index(index._index.quantizer)
    for dirt in _EXTREMES:
        _, lists = coarse.search(vectors, 16, D=np.full((1000, 16), dirt, np.float32))
        assert np.all(np.sort(lists) == np.arange(16))


def test_a_marked_index_wears_out() -> None:
    index = MarkedIndex("HNSW32", "", DIMENSION, "IP")
    index.add(np.arange(100), index.encode(unit_vectors(100, 1, DIMENSION)))
    index.remove(np.arange(25))
    assert not index.worn
    index.remove(np.arange(25, 26))
    assert index.worn
    assert len(index) == 74


def test_looking_deeper_ends_where_there_is_no_more() -> None:
    """An index that finds a few faces only, however many are asked for."""
    asked: list[int] = []

    def search(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(k)
        ids = np.full((len(vectors), k), -1, np.int64)
        ids[:, :5] = [1, 2, 3, 4, 5]
        return np.zeros(ids.shape, np.float32), ids

    _, ids = deepen(search, np.zeros((2, DIMENSION), np.float32), 4, 1_000_000, lambda ids: ids % 2 == 0)
    assert ids.tolist() == [[2, 4, -1, -1]] * 2
    assert len(asked) == 1


def test_vectors_of_two_stages_leave_no_file_behind(tmp_path: Path) -> None:
    index = Kind("SQ8,RFlat").make(tmp_path)
    index.add(np.arange(1000), index.encode(unit_vectors(1000, 1, DIMENSION)))
    assert list(tmp_path.iterdir()) == []
    assert len(index) == 1000


def test_vectors_of_half_floats_are_scored_as_they_are(tmp_path: Path) -> None:
    """Of every half float there is, the smallest and -0 among them."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    vectors = VectorFile(1, "float16", tmp_path)
    vectors.reserve(len(halves))
    vectors.add(np.arange(len(halves)), halves.astype(np.float32)[:, np.newaxis])
    scores = vectors.scores(np.ones(1, np.float32), np.arange(len(halves)))
    assert np.array_equal(scores, halves.astype(np.float32))


def test_a_search_stays_on_the_thread_that_asked() -> None:
    """Threads of the process at large do not compute, although a new thread's default is one for each core."""
    index = FlatIndex("Flat", "", 128, "IP")
    index.add(np.arange(40_000), index.encode(unit_vectors(40_000, seed=6, dimension=128)))
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
