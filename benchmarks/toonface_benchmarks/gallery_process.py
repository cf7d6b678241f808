"""One index of a gallery, measured in a process of its own, so that its memory is its own."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from toonface_contract.admin import IndexSettings
from toonface_gallery.builder import Builder
from toonface_gallery.loaded import LoadedGallery
from toonface_gallery.plan import memory_budget
from toonface_gallery.saved import SavedIndices
from toonface_gallery.store import GalleryStore
from toonface_gallery.two_stage import TwoStageIndex

EMBEDDER: Final = "benchmark"
GALLERY: Final = "faces"

_BATCH: Final = 64
K: Final = 5
_SWEEP: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Searches:
    """Searches for one face at a time.

    Attributes:
        parameters: of the searches.
        found: INT64 [N,5], ids.
        p50_ms: median of the time.
        p99_ms: 99th percentile.
        cpu_ms: median of the processor's time, which other work on the machine hardly touches.
    """

    parameters: str
    found: NDArray[np.int64]
    p50_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Built:
    """What one index needed, and how it searches.

    Attributes:
        index: its type, as it was planned.
        reason: why.
        build_seconds: from the store, saving included.
        build_cpu_seconds: of the processor, all threads together.
        memory_mb: that of the process, less what it had before; mapped files count as far as they are in memory.
        anonymous_mb: the same without what is mapped from files, which the system may take back.
        file_mb: size of the saved index.
        start_seconds: from the saved index, in a fresh process, to the first search.
        start_cpu_seconds: of the processor meanwhile.
        searches: with the parameters that were planned.
        sweep: with others.
        batch_per_second: faces in batches of 64, with one thread.
    """

    index: str
    reason: str
    build_seconds: float
    build_cpu_seconds: float
    memory_mb: float
    anonymous_mb: float
    file_mb: float
    start_seconds: float
    start_cpu_seconds: float
    searches: Searches
    sweep: list[Searches]
    batch_per_second: float


def measure_index(url: str, asked: str | None, folder: Path, probes: NDArray[np.float32], *, sweep: bool) -> Built:
    """Build the index of an enrolled gallery, start from what was saved, and search."""
    store = GalleryStore(url)
    store.configure(GALLERY, IndexSettings(type=asked))
    store.close()
    built = apart(_build, url, folder)
    return apart(_start_and_search, url, folder, probes, built, sweep)


def apart(call: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
    """The result of a call made in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments, **options).result()


class _Watch:
    """Seconds since it was made: by the clock, and of the processor in this process."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def _build(url: str, folder: Path) -> tuple[float, float]:
    builder, store = _builder(url, folder)
    watch = _Watch()
    with store.snapshot() as snapshot:
        (key,) = [key for key in snapshot.galleries() if key.name == GALLERY]
    gallery = builder.build(key, psutil.cpu_count() or 1)
    SavedIndices(folder).save(gallery.freeze())
    return watch.read()


def _start_and_search(
    url: str, folder: Path, probes: NDArray[np.float32], built: tuple[float, float], sweep: bool
) -> Built:
    builder, store = _builder(url, folder)
    with store.snapshot() as snapshot:
        (key,) = [key for key in snapshot.galleries() if key.name == GALLERY]
    before = _memory()
    watch = _Watch()
    gallery = builder.load(key)
    if gallery is None:
        raise RuntimeError("the index that was just saved cannot be read")
    gallery.search(probes[:1], K)
    started = watch.read()
    searches = _search(gallery, probes, gallery.plan.parameters)
    memory = _memory()
    began = time.perf_counter()
    for start in range(0, len(probes), _BATCH):
        gallery.search(probes[start : start + _BATCH], K)
    batch_seconds = time.perf_counter() - began
    return Built(
        index=gallery.plan.name,
        reason=gallery.plan.reason,
        build_seconds=built[0],
        build_cpu_seconds=built[1],
        memory_mb=(memory[0] - before[0]) / 1e6,
        anonymous_mb=(memory[1] - before[1]) / 1e6,
        file_mb=SavedIndices(folder).path(key).stat().st_size / 1e6,
        start_seconds=started[0],
        start_cpu_seconds=started[1],
        searches=searches,
        sweep=_sweep(gallery, probes) if sweep else [],
        batch_per_second=len(probes) / batch_seconds,
    )


def _builder(url: str, folder: Path) -> tuple[Builder, GalleryStore]:
    store = GalleryStore(url)
    return Builder(store, SavedIndices(folder), memory_budget(), threading.Event()), store


def _sweep(gallery: LoadedGallery, probes: NDArray[np.float32]) -> list[Searches]:
    index = gallery.index
    tuned: Any = index.first if isinstance(index, TwoStageIndex) else index
    name = gallery.plan.parameters.partition("=")[0]
    found = []
    for value in _SWEEP if name else ():
        tuned.tune(f"{name}={value}")
        found.append(_search(gallery, probes, f"{name}={value}"))
    return found


def _search(gallery: LoadedGallery, probes: NDArray[np.float32], parameters: str) -> Searches:
    times, cpu, found = [], [], []
    for row in range(len(probes)):
        began, cpu_began = time.perf_counter(), time.thread_time()
        found.append(gallery.search(probes[row : row + 1], K).ids)
        times.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - cpu_began)
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    return Searches(parameters, np.concatenate(found), float(p50), float(p99), float(np.median(cpu)) * 1000)


def _memory() -> tuple[int, int]:
    """Bytes in memory of this process, all and the anonymous ones."""
    used = psutil.Process().memory_info()
    return used.rss, used.rss - used.shared
