"""Where one request's time goes, and what the ensemble reaches of the ceiling.

The ceiling is the same functions and the same compiled models, called in one process (`in_process.py`). Both answer the
same pictures from as many callers, in turns within one run, so that what else the machine does falls on both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toonface_benchmarks.in_process import InProcess
from toonface_benchmarks.load import LoadResult, closed_loop, pooled
from toonface_benchmarks.serving import serving_gallery
from toonface_benchmarks.triton_statistics import StageTime, read_statistics, stage_times
from toonface_benchmarks.turns import turns
from toonface_client import ToonfaceClient
from toonface_contract.options import RecognitionOptions
from toonface_gallery.live import LiveGalleries
from toonface_gallery.store import GalleryStore
from toonface_server.repository import open_repository

GALLERY = "benchmark"


@dataclass(frozen=True)
class Comparison:
    """The ensemble and the ceiling at one concurrency, run in turns.

    Attributes:
        concurrency: callers, each with one request in flight.
        ensemble: one result a round.
        ceiling: likewise.
    """

    concurrency: int
    ensemble: Sequence[LoadResult]
    ceiling: Sequence[LoadResult]

    @property
    def ratios(self) -> list[float]:
        """The ensemble's throughput over the ceiling's, round by round, rising."""
        pairs = zip(self.ensemble, self.ceiling, strict=True)
        return sorted(mine.throughput / ceiling.throughput for mine, ceiling in pairs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: medians, and the smallest and largest ratio."""
        ratios = self.ratios
        return {
            "concurrency": self.concurrency,
            "ensemble_per_second": statistics.median(run.throughput for run in self.ensemble),
            "ceiling_per_second": statistics.median(run.throughput for run in self.ceiling),
            "ratio": statistics.median(ratios),
            "ratio_range": [ratios[0], ratios[-1]],
            "ensemble_p50_ms": 1000 * pooled(self.ensemble).percentile(50),
            "ensemble_p95_ms": 1000 * pooled(self.ensemble).percentile(95),
            "ceiling_p50_ms": 1000 * pooled(self.ceiling).percentile(50),
        }


@dataclass(frozen=True)
class EnsembleReport:
    """What `toonface bench ensemble` found.

    Attributes:
        stages: at concurrency 1, in the order in which a request passes them.
        request_ms: average time of one request at concurrency 1, as the client sees it.
        comparisons: one for each concurrency.
    """

    stages: Sequence[StageTime]
    request_ms: float
    comparisons: Sequence[Comparison]

    @property
    def best_ceiling(self) -> float:
        """Requests a second that the functions in one process reach at the best of the concurrencies."""
        return max(statistics.median(run.throughput for run in each.ceiling) for each in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "best_ceiling_per_second": self.best_ceiling,
            "request_ms": self.request_ms,
            "stages": [
                {"stage": each.stage, "queue_ms": each.queue, "compute_ms": each.compute} for each in self.stages
            ],
            "comparisons": [each.as_dict() for each in self.comparisons],
        }


def measure(
    repository: Path,
    pictures: Sequence[bytes],
    gallery_list: Path,
    *,
    concurrencies: Sequence[int],
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> EnsembleReport:
    """Start a server, and compare it with the ceiling.

    Args:
        repository: an exported repository.
        pictures: encoded; each caller sends them in turn.
        gallery_list: PaddleX list of the gallery to search.
        concurrencies: numbers of callers.
        rounds: runs of each side at each concurrency, in turns.
        seconds: of each run.
        progress: told what is going on.
    """
    with serving_gallery(repository, GALLERY, gallery_list) as server:
        opened = open_repository(repository)
        store = GalleryStore(server.gallery_url)
        (enrolled,) = (gallery for gallery in store.galleries() if gallery.name == GALLERY)
        galleries = LiveGalleries(store, enrolled.embedder, enrolled.dimension)
        galleries.start()
        try:
            ceiling = InProcess(opened, galleries, RecognitionOptions(gallery=GALLERY))
            with ToonfaceClient(server.address, timeout=60) as client:

                def ask(picture: bytes) -> object:
                    return client.recognize(picture, gallery=GALLERY)

                progress("warming up")
                for warm_up in (ask, ceiling.recognize):
                    closed_loop(warm_up, pictures, concurrency=max(concurrencies), seconds=seconds / 2)
                progress("one request, stage by stage")
                stages, request_ms = _stage_times(server.address, ask, pictures, seconds)
                comparisons = []
                for concurrency in concurrencies:
                    progress(f"concurrency {concurrency}")
                    works = {
                        name: partial(closed_loop, call, pictures, concurrency=concurrency, seconds=seconds)
                        for name, call in (("ensemble", ask), ("ceiling", ceiling.recognize))
                    }
                    comparisons.append(Comparison(concurrency, **turns(works, rounds, progress)))
        finally:
            galleries.stop()
            store.close()
    return EnsembleReport(stages, request_ms, comparisons)


def _stage_times(
    address: str, ask: Callable[[bytes], object], pictures: Sequence[bytes], seconds: float
) -> tuple[list[StageTime], float]:
    """Triton's own statistics over a run with one request at a time, and the client's average in milliseconds."""
    before = read_statistics(address)
    run = closed_loop(ask, pictures, concurrency=1, seconds=seconds)
    return stage_times(before, read_statistics(address)), 1000 * statistics.fmean(run.latencies)
