"""What the gallery's tests share: faces and vectors, and waiting for something to become true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from toonface_contract.admin import NewFace
from toonface_gallery.builder import Builder
from toonface_gallery.loaded import LoadedGallery
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
