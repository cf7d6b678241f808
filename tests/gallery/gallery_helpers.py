"""What the gallery's tests share: faces and vectors, and waiting for something to become true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from toonface_contract.admin import NewFace
from toonface_gallery import saved
from toonface_gallery.builder import Builder
from toonface_gallery.loaded import FrozenGallery, LoadedGallery
from toonface_gallery.saved import SavedIndices
from toonface_gallery.snapshot import GalleryKey

EMBEDDER = "sha256:0123456789abcdef0123456789abcdef"
DIMENSION = 8


def new_faces(*labels: str) -> list[NewFace]:
    return [NewFace(label=label, source=f"{label}.png") for label in labels]


def unit_vectors(count: int, seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def basis(*axes: int) -> NDArray[np.float32]:
    """One unit vector along each of the given axes, so that different faces have a similarity of 0."""
    return np.eye(DIMENSION, dtype=np.float32)[list(axes)]


def wait_for(true: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as it is true; the limit only ends a test that would hang."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def brute_force(
    faces: dict[int, NDArray[np.float32]], probes: NDArray[np.float32], k: int
) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Ids and cosines of the k most similar faces of each probe, in double precision."""
    ids = list(faces)
    if not ids:
        return [[] for _ in probes], np.empty((len(probes), 0))
    cosines = probes.astype(np.float64) @ np.array([faces[face] for face in ids], np.float64).T
    order = np.argsort(-cosines, axis=1)[:, :k]
    return [[ids[column] for column in row] for row in order], np.take_along_axis(cosines, order, axis=1)


def held_builds(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Lets no index be built before the event is set, for a minute at most."""
    released = threading.Event()
    build = Builder.build

    def held(self: Builder, key: GalleryKey, threads: int) -> LoadedGallery:
        released.wait(60)
        return build(self, key, threads)

    monkeypatch.setattr(Builder, "build", held)
    return released


def no_thread(thread: threading.Thread) -> None:
    """In place of `threading.Thread.start`: the system has reached its limit of threads."""
    raise RuntimeError("can't start new thread")


class HeldSaves:
    """Lets indices be saved no further than it is told, until it is told otherwise; for a minute at most.

    Attributes:
        begun: names of the galleries whose saving has begun, each time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self._writes: int | None = None  # that may still be made
        self._changed = threading.Condition()
        save, write = SavedIndices.save, saved._Digesting.write

        def held_save(indices: SavedIndices, gallery: FrozenGallery) -> None:
            self.begun.append(gallery.key.name)
            save(indices, gallery)

        def held_write(out: saved._Digesting, data: object) -> int:
            with self._changed:
                self._changed.wait_for(lambda: self._writes is None or self._writes > 0, timeout=60)
                if self._writes is not None:
                    self._writes -= 1
            return write(out, data)

        monkeypatch.setattr(SavedIndices, "save", held_save)
        monkeypatch.setattr(saved._Digesting, "write", held_write)

    def hold(self, writes: int) -> None:
        """So many pieces more of files may be written."""
        with self._changed:
            self._writes = writes
            self._changed.notify_all()

    @property
    def held(self) -> bool:
        """Whether no piece may be written now."""
        return self._writes == 0

    def release(self) -> None:
        with self._changed:
            self._writes = None
            self._changed.notify_all()
