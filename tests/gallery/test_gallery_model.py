"""Random sequences of commands, searches, saves and restarts, against a model that is plain enough to be right."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from gallery_helpers import DIMENSION, EMBEDDER, HeldSaves, brute_force, unit_vectors, wait_for
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from toonface_contract.admin import (
    Add,
    Build,
    Change,
    Drop,
    Faces,
    FaceUpdate,
    IndexSettings,
    ListFaces,
    NewFace,
    Remove,
    Rename,
    Update,
)
from toonface_contract.errors import AlreadyExists, NotFound
from toonface_gallery import live as live_module
from toonface_gallery import plan, unsaved
from toonface_gallery.access import Access
from toonface_gallery.admin import GalleryAdmin
from toonface_gallery.live import LiveGalleries
from toonface_gallery.loaded import Matches
from toonface_gallery.saved import SavedIndices, Unusable
from toonface_gallery.snapshot import GalleryKey
from toonface_gallery.store import GalleryStore

galleries = st.sampled_from(["default", "people", "others"])
# Some labels come again, and some with one face alone, which takes them with it when it goes.
labels_of_faces = st.sampled_from(["Ada", "Grace", "Noor", "名前"]) | st.integers(0, 10**6).map("visitor {}".format)
batches = st.lists(labels_of_faces, max_size=6)
# Each finds the very nearest, whatever it was that it learnt from.
KINDS = [None, "SQfp16", "IVF16,Flat;nprobe=16", "HNSW32", "SQ8,Refine(SQfp16)", "PQ4x4fs,Refine(SQfp16)"]
kinds = st.sampled_from(KINDS)
metrics = st.sampled_from(["IP", "L2"])
seeds = st.integers(0, 20)  # few, so that the same vector is enrolled more than once


class Galleries(RuleBasedStateMachine):
    """The model is a dictionary: gallery -> id -> (label, vector).

    Most of the time galleries are being saved, and somewhere in the midst of it.
    """

    saves: HeldSaves

    @initialize(kind=kinds, metric=metrics, labels=st.lists(labels_of_faces, min_size=20, max_size=20), seed=seeds)
    def begin(self, kind: str | None, metric: Literal["IP", "L2"], labels: list[str], seed: int) -> None:
        self.saves.hold(writes=3)
        self.folder = tempfile.TemporaryDirectory()
        # By the number of the last change: what was in each gallery, by its id.
        self.history: dict[int, dict[int, dict[int, tuple[str, np.ndarray]]]] = {0: {}}
        self.model: dict[str, dict[int, tuple[str, np.ndarray]]] = {"default": {}}
        self.sequence = 0
        self.used: set[int] = set()
        self.open()
        vectors = unit_vectors(len(labels), seed)
        faces = [NewFace(label=label) for label in labels]
        command = Build(gallery="people", faces=faces, index=IndexSettings(type=kind, metric=metric))
        self.model["people"] = self.enrolled(self.run(command, vectors), labels, vectors)
        self.note()
        wait_for(lambda: self.live.sequence >= self.sequence)
        (index,) = [status.index for status in self.live.status() if status.name == "people"]
        assert index.startswith(kind or "SQ8,Refine(SQfp16)")

    def open(self) -> None:
        self.live_folder = Path(self.folder.name) / "indices"
        self.store = GalleryStore(f"sqlite:///{self.folder.name}/gallery.sqlite3")
        self.admin = GalleryAdmin(self.store, EMBEDDER, DIMENSION, Access(None))
        self.live = LiveGalleries(self.store, EMBEDDER, DIMENSION, folder=self.live_folder)
        self.live.start()

    def close(self) -> None:
        self.saves.release()
        self.live.stop()
        self.store.close()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.close()
            self.folder.cleanup()

    @invariant()
    def note(self) -> None:
        if hasattr(self, "store") and self.sequence not in self.history:
            self.history[self.sequence] = {self.key(name).id: dict(faces) for name, faces in self.model.items()}

    @invariant()
    def all_is_found_while_it_is_saved(self) -> None:
        if hasattr(self, "store") and self.saves.held:
            wait_for(lambda: self.live.sequence >= self.sequence)
            for gallery, faces in self.model.items():
                self.agree(partial(self.live.search, gallery), faces, unit_vectors(3, self.sequence), 12)

    def key(self, gallery: str) -> GalleryKey:
        with self.store.snapshot() as snapshot:
            return next(key for key in snapshot.galleries() if key.name == gallery)

    def run(self, command: Build | Add | Update | Remove | Rename | Drop, vectors: np.ndarray | None = None) -> Change:
        change = Change.model_validate_json(self.admin.handle(command.model_dump_json(), vectors, None).result)
        assert change.sequence > self.sequence
        self.sequence = change.sequence
        return change

    def enrolled(self, change: Change, labels: list[str], vectors: np.ndarray) -> dict[int, tuple[str, np.ndarray]]:
        assert self.used.isdisjoint(change.ids)
        self.used.update(change.ids)
        return dict(zip(change.ids, zip(labels, vectors, strict=True), strict=True))

    @rule(gallery=galleries, labels=batches, seed=seeds, replace=st.booleans())
    def build(self, gallery: str, labels: list[str], seed: int, replace: bool) -> None:
        vectors = unit_vectors(len(labels), seed)
        command = Build(gallery=gallery, faces=[NewFace(label=label) for label in labels], replace=replace)
        if gallery in self.model and not replace:
            with pytest.raises(AlreadyExists):
                self.run(command, vectors)
        else:
            self.model[gallery] = self.enrolled(self.run(command, vectors), labels, vectors)

    @rule(gallery=galleries, labels=batches.filter(bool), seed=seeds)
    def add(self, gallery: str, labels: list[str], seed: int) -> None:
        vectors = unit_vectors(len(labels), seed)
        command = Add(gallery=gallery, faces=[NewFace(label=label) for label in labels])
        if gallery in self.model:
            self.model[gallery] |= self.enrolled(self.run(command, vectors), labels, vectors)
        else:
            with pytest.raises(NotFound):
                self.run(command, vectors)

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data(), missing=st.booleans())
    def remove(self, data: st.DataObject, missing: bool) -> None:
        gallery = data.draw(st.sampled_from([name for name, faces in self.model.items() if faces]))
        faces = self.model[gallery]
        ids = data.draw(st.lists(st.sampled_from(list(faces))))
        labels = data.draw(st.lists(st.sampled_from([label for label, _ in faces.values()]), min_size=not ids))
        if missing:
            with pytest.raises(NotFound):
                self.run(Remove(gallery=gallery, ids=[*ids, 10**9], labels=labels))
            return
        doomed = set(ids) | {face for face, (label, _) in faces.items() if label in labels}
        assert self.run(Remove(gallery=gallery, ids=ids, labels=labels)).ids == sorted(doomed)
        self.model[gallery] = {face: kept for face, kept in faces.items() if face not in doomed}

    @rule(gallery=galleries, kind=kinds, metric=metrics)
    def configure(self, gallery: str, kind: str | None, metric: Literal["IP", "L2"]) -> None:
        if gallery in self.model:
            self.sequence = self.store.configure(gallery, IndexSettings(type=kind, metric=metric)).sequence

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data(), label=st.sampled_from([None, "Zoe"]), seed=st.none() | seeds)
    def update(self, data: st.DataObject, label: str | None, seed: int | None) -> None:
        gallery = data.draw(st.sampled_from([name for name, faces in self.model.items() if faces]))
        faces = self.model[gallery]
        ids = sorted(data.draw(st.sets(st.sampled_from(list(faces)), min_size=1)))
        vectors = None if seed is None else unit_vectors(len(ids), seed)
        command = Update(gallery=gallery, faces=[FaceUpdate(id=face, label=label) for face in ids])
        assert self.run(command, vectors).ids == ids
        for row, face in enumerate(ids):
            old_label, old_vector = faces[face]
            faces[face] = (label or old_label, old_vector if vectors is None else vectors[row])

    @rule(gallery=galleries, topk=st.integers(1, 4), seed=seeds)
    def search_by_label(self, gallery: str, topk: int, seed: int) -> None:
        if gallery not in self.model:
            return
        wait_for(lambda: self.live.sequence >= self.sequence)
        faces = self.model[gallery]
        (probe,) = unit_vectors(1, seed)
        best: dict[str, float] = {}
        for label, vector in faces.values():
            best[label] = max(best.get(label, -2.0), float(probe @ vector))
        found = self.live.search(gallery, probe[np.newaxis], topk, "label")
        np.testing.assert_allclose(found.scores[0], sorted(best.values(), reverse=True)[:topk], atol=2e-3)
        for label, face, score in zip(found.labels[0], found.ids[0].tolist(), found.scores[0], strict=True):
            assert faces[face][0] == label
            np.testing.assert_allclose(score, best[label], atol=2e-3)

    @rule(gallery=galleries.filter(lambda name: name != "default"))
    def drop(self, gallery: str) -> None:
        if gallery in self.model:
            self.run(Drop(gallery=gallery))
            del self.model[gallery]
        else:
            with pytest.raises(NotFound):
                self.run(Drop(gallery=gallery))

    @rule(gallery=galleries.filter(lambda name: name != "default"), to=galleries, replace=st.booleans())
    def rename(self, gallery: str, to: str, replace: bool) -> None:
        if gallery == to:
            return
        command = Rename(gallery=gallery, to=to, replace=replace)
        if gallery not in self.model:
            with pytest.raises(NotFound):
                self.run(command)
        elif to in self.model and not replace:
            with pytest.raises(AlreadyExists):
                self.run(command)
        else:
            self.run(command)
            self.model[to] = self.model.pop(gallery)

    @rule(
        gallery=galleries.filter(lambda name: name != "default"),
        to=galleries,
        labels=batches,
        seed=seeds,
    )
    def rename_and_build_between_two_looks(self, gallery: str, to: str, labels: list[str], seed: int) -> None:
        with self.live._changing:  # it cannot look
            self.rename(gallery, to, replace=True)
            self.build(gallery, labels, seed, replace=True)

    @rule(writes=st.integers(1, 40))
    def let_saves_go_on(self, writes: int) -> None:
        self.saves.hold(writes)

    @rule(gallery=galleries, topk=st.integers(1, 12), seed=seeds, writes=st.integers(0, 12))
    def look_at_what_was_saved(self, gallery: str, topk: int, seed: int, writes: int) -> None:
        """It is the gallery as it was after the change that the file names."""
        self.saves.release()
        self.live._jobs.join()
        self.saves.hold(writes)
        if gallery not in self.model:
            return
        key = self.key(gallery)
        try:
            saved = SavedIndices(self.live_folder).load(key)
        except Unusable as reason:
            assert "index type" in str(reason)  # it got other settings
            return
        if saved is not None:
            last = max(sequence for sequence in self.history if sequence <= saved.position.sequence)
            self.agree(saved.search, self.history[last][key.id], unit_vectors(3, seed), topk)

    @rule()
    def restart(self) -> None:
        self.close()
        self.saves.hold(writes=0)
        self.open()

    @rule(gallery=galleries, limit=st.integers(1, 5))
    def list_faces(self, gallery: str, limit: int) -> None:
        if gallery not in self.model:
            return
        listed: list[tuple[int, str]] = []
        after: int | None = 0
        while after is not None:
            command = ListFaces(gallery=gallery, after_id=after, limit=limit)
            page = Faces.model_validate_json(self.admin.handle(command.model_dump_json(), None, None).result)
            listed += [(face.id, face.label) for face in page.faces]
            after = page.next_after_id
        assert listed == [(face, label) for face, (label, _) in self.model[gallery].items()]

    @rule(gallery=galleries, topk=st.integers(1, 12), probes=st.sampled_from([0, 1, 3, 25]), seed=seeds)
    def search(self, gallery: str, topk: int, probes: int, seed: int) -> None:
        wait_for(lambda: self.live.sequence >= self.sequence)
        vectors = unit_vectors(probes, seed)
        if gallery not in self.model:
            with pytest.raises(NotFound):
                self.live.search(gallery, vectors, topk)
            return
        faces = self.model[gallery]
        self.agree(partial(self.live.search, gallery), faces, vectors, topk)

    def agree(
        self,
        search: Callable[[np.ndarray, int], Matches],
        faces: dict[int, tuple[str, np.ndarray]],
        vectors: np.ndarray,
        topk: int,
    ) -> None:
        found = search(vectors, topk)
        _, expected = brute_force({face: vector for face, (_, vector) in faces.items()}, vectors, topk)
        # Among equal scores any order is right, so ids are held against their own scores.
        np.testing.assert_allclose(found.scores, expected, atol=2e-3)
        for row, probe in enumerate(vectors):
            ids = found.ids[row].tolist()
            assert len(set(ids)) == len(ids) == min(topk, len(faces))
            assert found.labels[row] == [faces[face][0] for face in ids]
            own = [float(probe @ faces[face][1]) for face in ids]
            np.testing.assert_allclose(found.scores[row], own, atol=2e-3)


@pytest.fixture(autouse=True)
def _small_galleries_are_treated_as_large_ones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They are saved, again and again, and their indices learn from few faces."""
    monkeypatch.setattr(Galleries, "saves", HeldSaves(monkeypatch), raising=False)
    monkeypatch.setattr(unsaved, "_SAVED_LEAST", 1)
    monkeypatch.setattr(live_module, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(live_module, "_SAVE_AFTER", 4)
    monkeypatch.setattr(live_module, "_SAVE_SHARE", sys.maxsize)
    monkeypatch.setattr(plan, "FLAT_MOST", 10)
    monkeypatch.setattr(plan, "_FOR_A_RANGE", 1)
    monkeypatch.setattr(plan, "_FOR_A_CENTROID", 1)
    monkeypatch.setattr(plan, "_FOR_A_PRODUCT", 16)
    plan._sample_needed.cache_clear()
    yield
    plan._sample_needed.cache_clear()


TestGalleries = Galleries.TestCase
TestGalleries.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
