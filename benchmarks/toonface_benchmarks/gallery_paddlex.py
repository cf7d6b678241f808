"""A gallery served PaddleX's way: an index that is read from its file for every request."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from toonface_benchmarks.gallery_process import K, Searches


@dataclass(frozen=True, slots=True)
class Reloading:
    """A gallery served PaddleX's way: the index is read from its file for every request.

    Attributes:
        index: FAISS's factory string.
        build_seconds: training and adding; not from a store.
        searches: each with the reading.
        search_ms: median without it.
    """

    index: str
    build_seconds: float
    searches: Searches
    search_ms: float


def measure_reloading(
    vectors: Path, folder: Path, probes: NDArray[np.float32], *, lists: int, rounds: int, requests: int
) -> Reloading:
    """`Flat`, which PaddleX's server builds, or its choice `IVF` with one list searched; read anew for each request.

    Args:
        vectors: NumPy file FP32 [N,D].
        folder: for the index file.
        probes: FP32 [M,D].
        lists: of the index; 0 for `Flat`.
        rounds: of k-means; FAISS's own number, and so PaddleX's, is 25.
        requests: to time.
    """
    faces: Any = np.load(vectors, mmap_mode="r")
    api: Any = faiss
    factory = f"IVF{lists},Flat" if lists else "Flat"
    began = time.perf_counter()
    index = api.index_factory(faces.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if lists:
        index.cp.niter = rounds
        index.train(np.asarray(faces))
    index.add(np.asarray(faces))
    build_seconds = time.perf_counter() - began
    path = str(folder / "vector.index")
    api.write_index(index, path)
    _, found = index.search(probes, K)
    times, cpu, alone = [], [], []
    for row in range(requests):
        began, cpu_began = time.perf_counter(), time.thread_time()
        fresh = api.read_index(path)
        loaded = time.perf_counter()
        fresh.search(probes[row : row + 1], K)
        alone.append(time.perf_counter() - loaded)
        times.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - cpu_began)
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    searches = Searches("nprobe=1" if lists else "", found, float(p50), float(p99), float(np.median(cpu)) * 1000)
    return Reloading(factory, build_seconds, searches, float(np.median(alone)) * 1000)
