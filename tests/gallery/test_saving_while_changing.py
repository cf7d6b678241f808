"""Galleries that change while they are saved, with every kind of index: searches, and what was saved, are right."""

from __future__ import annotations

import tempfile
from pathlib import Path
from zlib import crc32

import faiss
import numpy as np
import pytest
from gallery_helpers import EMBEDDER, brute_force, unit_vectors
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from index_kinds import DIMENSION, Kind, every_kind, run_machine

from toonface_gallery import faiss_parts, loaded, overlay
from toonface_gallery.index import Writer
from toonface_gallery.labels import FrozenLabels
from toonface_gallery.loaded import FrozenGallery, LoadedGallery
from toonface_gallery.overlay import Overtaken
from toonface_gallery.saved import SavedIndices
from toonface_gallery.snapshot import Changes, EnrolledFaces, GalleryKey, Position

Model = dict[int, tuple[str, np.ndarray]]

NOTHING = Changes([], [], [])


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay is soon full, and is settled in several looks; few faces lie in several parts."""
    monkeypatch.setattr(overlay, "_MOST", 80)
    monkeypatch.setattr(loaded, "_PORTION", 7)
    monkeypatch.setattr(loaded, "_SETTLE_SECONDS", 1e-4)
    monkeypatch.setattr(faiss_parts, "_BLOCK", 24)


def gallery_of(kind: Kind) -> LoadedGallery:
    key = GalleryKey(1, "people", DIMENSION, EMBEDDER, kind.settings)
    return LoadedGallery(key, kind.plan, kind.make())


def enrolled(ids: list[int], labels: list[str], vectors: np.ndarray) -> list[EnrolledFaces]:
    return [EnrolledFaces(np.array(ids, np.int64), labels, vectors)] if ids else []


def assert_right(gallery: LoadedGallery, model: Model, probes: np.ndarray, k: int, kind: Kind) -> None:
    """Each match is a face that is there, under its label, about as near as the one that belongs in its place."""
    assert (len(gallery), len(gallery.labels)) == (len(model), len(model))
    vectors = {face: vector for face, (_, vector) in model.items()}
    found = gallery.search(probes, k)
    _, exact = brute_force(vectors, probes, k)
    assert found.ids.shape == exact.shape
    by_label = gallery.search(probes, k, "label")
    for row, probe in enumerate(probes):
        ids = [face for face in found.ids[row].tolist() if face != -1]
        lost = exact.shape[1] - len(ids)
        assert found.ids[row].tolist() == ids + [-1] * lost
        assert lost <= kind.most_lost
        assert len(set(ids)) == len(ids)
        assert found.labels[row] == [model[face][0] for face in ids] + [""] * lost
        own = np.array([probe @ vectors[face] for face in ids], np.float64)
        # Without those that were lost, the others move up.
        assert (own <= exact[row, : len(ids)] + kind.tolerance).all()
        assert (own >= exact[row, lost:] - kind.tolerance).all()
        if lost:
            continue
        best: dict[str, float] = {}
        for label, vector in model.values():
            best[label] = max(best.get(label, -2.0), float(probe @ vector))
        labels = by_label.labels[row]
        assert len(set(labels)) == len(labels) == min(k, len(best))
        assert labels == [model[face][0] for face in by_label.ids[row].tolist()]
        nearest = sorted(best.values(), reverse=True)[:k]
        np.testing.assert_allclose([best[label] for label in labels], nearest, atol=kind.tolerance)
        if kind.tolerance < 1:
            np.testing.assert_allclose(found.scores[row], own, atol=kind.score_tolerance)


class SavedWhileChanging(RuleBasedStateMachine):
    """The model is a dictionary: id -> (label, vector)."""

    kind: Kind

    @initialize(seed=st.integers(0, 5))
    def begin(self, seed: int) -> None:
        faiss.omp_set_num_threads(1)
        self.folder = tempfile.TemporaryDirectory()
        self.saved = SavedIndices(Path(self.folder.name))
        self.gallery = gallery_of(self.kind)
        self.model: Model = {}
        self.gone: list[int] = []
        self.next = 2**40
        self.sequence = 0
        self.frozen: FrozenGallery | None = None
        self.then: tuple[Model, Position] = ({}, Position())
        self.change(50, seed, 0, 0, 0, 0)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(
        added=st.integers(0, 25),
        seed=st.integers(0, 5),
        removed=st.floats(0, 0.3),
        moved=st.floats(0, 0.3),
        renamed=st.floats(0, 0.3),
        returned=st.floats(0, 1),
    )
    def change(self, added: int, seed: int, removed: float, moved: float, renamed: float, returned: float) -> None:
        """Faces come, go, are given other vectors or labels, and come back under their ids."""

        def some(ids: list[int], share: float, salt: str) -> list[int]:
            return [face for face in ids if crc32(f"{face} {share} {salt}".encode()) % 1000 < 1000 * share]

        self.sequence += 1
        gone, elsewhere = some(list(self.model), removed, "gone"), some(list(self.model), moved, "moved")
        back = some(self.gone, returned, "back")[:10]
        new = [*range(self.next, self.next + 3 * added, 3), *back, *(face for face in elsewhere if face not in gone)]
        self.next += 3 * added
        # Few seeds, so that the same vectors come again; a graph may lose its way to those.
        vectors = unit_vectors(len(new), self.sequence if "HNSW" in self.kind.type else seed, DIMENSION)
        labels = [f"label {face % 17}" for face in new]
        relabelled = [(face, f"other {face % 5}") for face in some(list(self.model), renamed, "name")]
        for face in gone:
            del self.model[face]
        self.gone = [face for face in [*self.gone, *gone] if face not in back]
        self.model |= dict(zip(new, zip(labels, vectors, strict=True), strict=True))
        self.model |= {face: (label, self.model[face][1]) for face, label in relabelled if face in self.model}
        # As the store tells it: labels as they are now.
        labels = [self.model[face][0] for face in new]
        self.follow(Changes([*gone, *elsewhere], enrolled(new, labels, vectors), relabelled))

    def follow(self, changes: Changes) -> None:
        if not self.gallery.make_room(changes):
            assert self.frozen is not None
            with pytest.raises(Overtaken, match="changed meanwhile"):
                self.saved.save(self.frozen)
            self.frozen = None
            assert self.gallery.make_room(changes)
        self.gallery.follow(changes, Position(self.sequence, 1))

    @rule()
    def look_when_nothing_changed(self) -> None:
        self.follow(NOTHING)

    @precondition(lambda self: self.frozen is None)
    @rule()
    def freeze(self) -> None:
        if self.gallery.settled:
            self.frozen = self.gallery.freeze()
            self.then = dict(self.model), self.gallery.position

    @precondition(lambda self: self.frozen is not None)
    @rule(k=st.integers(1, 15), seed=st.integers(0, 50))
    def save(self, k: int, seed: int) -> None:
        """What is saved is the gallery as it was when it was frozen."""
        assert self.frozen is not None
        self.saved.save(self.frozen)
        self.frozen = None
        again = self.saved.load(self.gallery.key)
        assert again is not None
        model, position = self.then
        assert again.position == position
        assert_right(again, model, unit_vectors(3, seed, DIMENSION), k, self.kind)

    @rule(probes=st.sampled_from([0, 1, 3, 25]), k=st.sampled_from([1, 3, 10, 1000]), seed=st.integers(0, 50))
    def search(self, probes: int, k: int, seed: int) -> None:
        assert_right(self.gallery, self.model, unit_vectors(probes, seed, DIMENSION), k, self.kind)


@every_kind
def test_searches_and_what_is_saved_are_right_whatever_changes_meanwhile(kind: Kind) -> None:
    run_machine(SavedWhileChanging, kind, examples=6, steps=25)


@every_kind
def test_a_save_is_given_up_wherever_it_is_and_leaves_what_was_there(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has written the labels when too much changes: what ends it then comes out of what writes the index."""
    gallery = gallery_of(kind)
    vectors = unit_vectors(300, 1, DIMENSION)
    model: Model = {face: (f"person {face}", vectors[face]) for face in range(100)}
    gallery.apply([], enrolled(list(range(100)), [label for label, _ in model.values()], vectors[:100]))
    saved = SavedIndices(tmp_path)
    saved.save(gallery.freeze())
    before = saved.path(gallery.key).read_bytes()
    assert gallery.make_room(NOTHING)
    assert gallery.settled
    frozen = gallery.freeze()
    more = Changes(
        [], enrolled(list(range(100, 300)), [f"person {face}" for face in range(100, 300)], vectors[100:]), []
    )
    save = FrozenLabels.save

    def overtaken(self: FrozenLabels, out: Writer) -> None:
        save(self, out)
        assert not gallery.make_room(more)

    monkeypatch.setattr(FrozenLabels, "save", overtaken)
    with pytest.raises(Overtaken, match="more than 80 faces changed meanwhile"):
        saved.save(frozen)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
    assert gallery.make_room(more)
    gallery.follow(more, Position(2, 2))
    model |= {face: (f"person {face}", vectors[face]) for face in range(100, 300)}
    assert_right(gallery, model, vectors[95:105], 5, kind)


def test_a_gallery_that_is_being_saved_cannot_be_saved_again() -> None:
    gallery = gallery_of(Kind("Flat"))
    gallery.freeze()
    with pytest.raises(RuntimeError, match="'people' is being saved"):
        gallery.freeze()
