"""Large galleries: what each index type costs and finds, beside PaddleX's way, and what a writer does to searches."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from toonface_benchmarks.gallery_faces import MadeUpFaces, nearest
from toonface_benchmarks.gallery_paddlex import Reloading, measure_reloading
from toonface_benchmarks.gallery_process import EMBEDDER, GALLERY, Built, K, Searches, apart, measure_index
from toonface_benchmarks.gallery_writer import BesideWriter, measure_beside_writer
from toonface_contract.admin import IndexSettings, NewFace
from toonface_gallery.store import GalleryStore

PROBES: Final = 500
_BATCH: Final = 1000  # faces that are enrolled together

# PaddleX's IVF has a list for every 8 faces, 65,536 at most. Above these, k-means for so many takes hours: one round
# instead, and then fewer lists too. What a request costs is the reading, to which neither matters.
_PADDLEX_TRAINED: Final = 20_000
_PADDLEX_LISTS: Final = 16_384
_PADDLEX_FACES_A_LIST: Final = 8


@dataclass(frozen=True, slots=True)
class Recall:
    """Shares of the probes whose exact nearest face, and of their exact five nearest faces, that were found."""

    at_1: float
    at_5: float


@dataclass(frozen=True, slots=True)
class SizeReport:
    """A gallery of one size.

    Attributes:
        faces: in it.
        enrolled_per_second: ready vectors into the store, 1,000 at a time.
        enrolled_per_cpu_second: the same by the time of the processor, which leaves out waiting for the disk.
        store_mb: size of the SQLite file.
        indices: what was measured, by the type that was asked for.
        recalls: of the searches with the planned parameters, by the same.
        sweep_recalls: of the sweeps.
        reloading: PaddleX's ways, the recall of each, and its rounds of k-means; empty where they were left out.
        beside_writer: the automatic index, without and with a writer; None where it was left out.
    """

    faces: int
    enrolled_per_second: float
    enrolled_per_cpu_second: float
    store_mb: float
    indices: dict[str, Built]
    recalls: dict[str, Recall]
    sweep_recalls: dict[str, list[Recall]]
    reloading: list[tuple[Reloading, Recall, int]]
    beside_writer: BesideWriter | None

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, less the ids found."""
        plain = asdict(self)
        for built in plain["indices"].values():
            for searches in (built["searches"], *built["sweep"]):
                del searches["found"]
        for reloading, _, _ in plain["reloading"]:
            del reloading["searches"]["found"]
        return plain


def measure(
    sizes: Sequence[int],
    types: Sequence[str],
    folder: Path,
    *,
    dimension: int,
    slow_most: int,
    paddlex: bool,
    writer: bool,
    progress: Callable[[str], None],
) -> list[SizeReport]:
    """Measure galleries of several sizes.

    Args:
        sizes: numbers of faces.
        types: index types, of which `auto` is the automatic choice.
        folder: for stores and indices, which are deleted afterwards.
        dimension: of the embeddings.
        slow_most: faces up to which HNSW indices are built.
        paddlex: measure PaddleX's ways too.
        writer: measure searches beside a writer too.
        progress: told what is being done.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the server does, for the processes that measure
    reports = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            fitting = [each for each in types if "HNSW" not in each or size <= slow_most]
            faces = MadeUpFaces(size, dimension)
            reports.append(_measure_size(faces, fitting, Path(name), paddlex=paddlex, writer=writer, progress=progress))
    return reports


def _measure_size(
    faces: MadeUpFaces,
    types: Sequence[str],
    folder: Path,
    *,
    paddlex: bool,
    writer: bool,
    progress: Callable[[str], None],
) -> SizeReport:
    url = f"sqlite:///{folder}/gallery.sqlite3"
    progress(f"{faces.count:,} faces: enrolling")
    per_second, per_cpu_second = _enrol(url, faces)
    progress(f"  {per_second:,.0f} a second, {per_cpu_second:,.0f} a second of the processor")
    probes = faces.probes(PROBES)
    progress(f"{faces.count:,} faces: exact search")
    exact = nearest(faces, probes, K) + 1  # ids begin with 1
    indices: dict[str, Built] = {}
    for asked in types:
        progress(f"{faces.count:,} faces: {asked}")
        built = measure_index(url, None if asked == "auto" else asked, folder, probes, sweep=True)
        progress(
            f"  {built.index}: recall@1 {_recall(built.searches, exact).at_1:.3f} in {built.searches.p50_ms:.2f} ms"
        )
        indices[asked] = built
    reloading = list(_paddlex(faces, probes, exact, folder, progress)) if paddlex else []
    beside = _beside_writer(url, faces, probes, folder, progress) if writer else None
    return SizeReport(
        faces=faces.count,
        enrolled_per_second=per_second,
        enrolled_per_cpu_second=per_cpu_second,
        store_mb=(folder / "gallery.sqlite3").stat().st_size / 1e6,
        indices=indices,
        recalls={asked: _recall(built.searches, exact) for asked, built in indices.items()},
        sweep_recalls={asked: [_recall(each, exact) for each in built.sweep] for asked, built in indices.items()},
        reloading=reloading,
        beside_writer=beside,
    )


def _beside_writer(
    url: str, faces: MadeUpFaces, probes: NDArray[np.float32], folder: Path, progress: Callable[[str], None]
) -> BesideWriter:
    progress(f"{faces.count:,} faces: searches beside a writer")
    store = GalleryStore(url)
    store.configure(GALLERY, IndexSettings())
    store.close()
    return apart(measure_beside_writer, url, folder, probes, rate=100.0, seconds=20.0)


def _enrol(url: str, faces: MadeUpFaces) -> tuple[float, float]:
    """Enrol all faces; returns how many a second by the clock and of the processor, their making not counted."""
    store = GalleryStore(url)
    store.build(GALLERY, [], np.empty((0, faces.dimension), np.float32), EMBEDDER)
    seconds = cpu_seconds = 0.0
    for chunk in faces.chunks():
        embeddings = faces.embeddings(chunk)
        new = [NewFace(label=label) for label in faces.labels(chunk)]
        began, cpu_began = time.perf_counter(), time.process_time()
        for start in range(0, len(chunk), _BATCH):
            store.add(GALLERY, new[start : start + _BATCH], embeddings[start : start + _BATCH], EMBEDDER)
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
    store.close()
    return faces.count / seconds, faces.count / cpu_seconds


def _paddlex(
    faces: MadeUpFaces,
    probes: NDArray[np.float32],
    exact: NDArray[np.int64],
    folder: Path,
    progress: Callable[[str], None],
) -> Iterator[tuple[Reloading, Recall, int]]:
    path = folder / "vectors.npy"
    np.save(path, np.concatenate([faces.embeddings(chunk) for chunk in faces.chunks()]))
    for lists in (0, min(_PADDLEX_LISTS, faces.count // _PADDLEX_FACES_A_LIST)):
        rounds = 0 if not lists else 25 if faces.count <= _PADDLEX_TRAINED else 1
        progress(f"{faces.count:,} faces: PaddleX's way, {lists} lists, {rounds} rounds of k-means")
        measured = apart(measure_reloading, path, folder, probes, lists=lists, rounds=rounds, requests=20)
        yield measured, _recall(measured.searches, exact - 1), rounds


def _recall(searches: Searches, exact: NDArray[np.int64]) -> Recall:
    """How much of the exact answers was found."""
    five = [
        len(set(found) & set(right)) / K for found, right in zip(searches.found.tolist(), exact.tolist(), strict=True)
    ]
    return Recall(float(np.mean(searches.found[:, 0] == exact[:, 0])), float(np.mean(five)))
