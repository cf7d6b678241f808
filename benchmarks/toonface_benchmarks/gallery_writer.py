"""Searches in a gallery that follows its store, beside a process that changes it."""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_benchmarks.gallery_process import EMBEDDER, GALLERY, K
from toonface_contract.admin import Change, FaceUpdate, NewFace
from toonface_gallery.live import LiveGalleries
from toonface_gallery.store import GalleryStore


@dataclass(frozen=True, slots=True)
class BesideWriter:
    """Searches for one face at a time in a gallery that follows its store, without and with somebody who writes.

    Attributes:
        quiet: nobody writes.
        written: while the changes are made.
        failed: searches that failed.
        changes_per_second: that the writer made.
        longest_lag_seconds: from a change's acknowledgement to the moment when searches took account of it.
    """

    quiet: tuple[float, float]
    written: tuple[float, float]
    failed: int
    changes_per_second: float
    longest_lag_seconds: float


def measure_beside_writer(
    url: str, folder: Path, probes: NDArray[np.float32], *, rate: float, seconds: float
) -> BesideWriter:
    """Search for some seconds, and then for as long beside a process that adds, updates and removes faces."""
    store = GalleryStore(url)
    # The index is made and saved first, or that would go on beside the searches.
    maker = LiveGalleries(store, EMBEDDER, probes.shape[1], folder=folder)
    maker.start()
    maker.stop()
    del maker
    live = LiveGalleries(store, EMBEDDER, probes.shape[1], folder=folder)
    live.start()
    quiet, _ = _timed(live, probes, seconds)
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    writer = context.Process(target=_write, args=(url, probes, rate, seconds, done))
    writer.start()
    acknowledged: list[tuple[int, float]] = []
    lags = []
    failed = 0
    times = []
    done.get()  # it is about to begin
    began = time.monotonic()
    row = 0
    while time.monotonic() - began < seconds:
        times_now, failures = _timed(live, probes[row % len(probes) :], 0.02)
        times += times_now
        failed += failures
        row += 1
        while not done.empty():
            acknowledged.append(done.get())
        while acknowledged and live.sequence >= acknowledged[0][0]:
            lags.append(time.time() - acknowledged.pop(0)[1])
    made = len(lags) + len(acknowledged)
    writer.terminate()
    live.stop()
    store.close()
    return BesideWriter(
        quiet=_middle_and_tail(quiet),
        written=_middle_and_tail(times),
        failed=failed,
        changes_per_second=made / seconds,
        longest_lag_seconds=max(lags, default=float("inf")),
    )


def _timed(live: LiveGalleries, probes: NDArray[np.float32], seconds: float) -> tuple[list[float], int]:
    times = []
    failed = 0
    began = time.perf_counter()
    row = 0
    while (now := time.perf_counter()) - began < seconds:
        try:
            live.search(GALLERY, probes[row % len(probes)][np.newaxis], K)
        except Exception:
            failed += 1
        times.append(time.perf_counter() - now)
        row += 1
    return times, failed


def _middle_and_tail(times: list[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    return float(p50), float(p99)


def _write(url: str, vectors: NDArray[np.float32], rate: float, seconds: float, done: Any) -> None:
    """Add, update and remove faces one by one, at a steady rate, and tell of each change when it is acknowledged."""
    store = GalleryStore(url)
    present: deque[int] = deque()
    done.put(None)
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < seconds + 5:
        change = make_change(store, number, present, vectors[number % len(vectors)][np.newaxis])
        done.put((change.sequence, time.time()))
        number += 1
        time.sleep(max(0.0, number / rate - (time.monotonic() - began)))


def make_change(store: GalleryStore, number: int, present: deque[int], vector: NDArray[np.float32]) -> Change:
    """Of four changes two add a face, the third gives the last one another embedding, the fourth removes the oldest.

    Args:
        store: with the gallery of the benchmark.
        number: of the change, from 0.
        present: ids of the faces that were added and not removed yet; kept up to date.
        vector: FP32 [1,D], of unit length, for what needs one.
    """
    match number % 4:
        case 2:
            return store.update(GALLERY, [FaceUpdate(id=present[-1], label=f"guest {number}")], vector, EMBEDDER)
        case 3:
            return store.remove(GALLERY, ids=[present.popleft()])
        case _:
            change = store.add(GALLERY, [NewFace(label=f"guest {number}")], vector, EMBEDDER)
            present += change.ids
            return change
