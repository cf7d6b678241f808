"""toonface and PaddleX side by side: the same models, pictures, gallery and threads, in turns on one machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonface_benchmarks.common_ground import Ground
from toonface_benchmarks.contenders import TOONFACE, Contender, started
from toonface_benchmarks.load import LoadResult, pooled
from toonface_benchmarks.turns import times, turns


@dataclass(frozen=True)
class CompareReport:
    """What `toonface bench compare` found. Runs and times are by contender, one for each round.

    Attributes:
        runs: by concurrency.
        enrolments: seconds for the whole gallery.
        faces: found in each picture.
        enrolled: pictures of the gallery.
    """

    runs: Mapping[int, Mapping[str, Sequence[LoadResult]]]
    enrolments: Mapping[str, Sequence[float]]
    faces: Mapping[str, Sequence[int]]
    enrolled: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: medians over the rounds, how many times as fast as each of them toonface is, and each round itself.

        Percentiles are of all requests of all rounds; those of a round are in `rounds`.
        """
        loads = [
            {
                "concurrency": concurrency,
                "contender": name,
                "requests": sum(len(run.latencies) for run in results),
                **_median_and_range([run.throughput for run in results]),
                "p50_ms": 1000 * pooled(results).percentile(50),
                "p95_ms": 1000 * pooled(results).percentile(95),
                **times([run.throughput for run in runs[TOONFACE]], [run.throughput for run in results]),
                "rounds": [_round(run) for run in results],
            }
            for concurrency, runs in self.runs.items()
            for name, results in runs.items()
        ]
        speeds = {name: [self.enrolled / taken for taken in seconds] for name, seconds in self.enrolments.items()}
        enrolments = [
            {"contender": name, **_median_and_range(speed), **times(speeds[TOONFACE], speed), "rounds": speed}
            for name, speed in speeds.items()
        ]
        faces = {name: list(found) for name, found in self.faces.items()}
        return {"loads": loads, "enrolments": enrolments, "faces": faces}


def _median_and_range(speeds: Sequence[float]) -> dict[str, Any]:
    return {"per_second": statistics.median(speeds), "per_second_range": [min(speeds), max(speeds)]}


def _round(run: LoadResult) -> dict[str, float]:
    percentiles = {f"p{percent}_ms": 1000 * run.percentile(percent) for percent in (50, 95, 99)}
    return {"requests": len(run.latencies), "per_second": run.throughput, **percentiles}


def measure(
    ground: Ground,
    python: Path,
    encoded: Sequence[bytes],
    gallery_list: Path,
    *,
    concurrencies: Sequence[int],
    rounds: int,
    seconds: float,
    paddlex_bf16: bool,
    tell: Callable[[str], None],
) -> CompareReport:
    """Start all contenders, let them take turns, and stop them.

    Args:
        ground: what is served.
        python: interpreter of PaddleX's environment.
        encoded: pictures; each caller sends them in turn.
        gallery_list: PaddleX list of the gallery to enrol and search.
        concurrencies: numbers of callers.
        rounds: turns of each contender at each concurrency.
        seconds: of each turn.
        paddlex_bf16: whether PaddleX computes in bf16, too.
        tell: told what is going on.
    """
    pictures = ground.pictures(encoded)
    with started(ground, python, pictures, gallery_list, tell, paddlex_bf16=paddlex_bf16) as contenders:
        tell("enrolment")
        enrolments = turns(
            {each.name: each.enrol for each in contenders if each.enrol is not None},
            rounds,
            tell,
        )
        faces = {each.name: each.count() for each in contenders}
        runs = {}
        for callers in concurrencies:
            tell(f"{callers} callers: warming up")
            for each in contenders:
                each.load(callers, seconds / 2)
            loads = {each.name: _loading(each, callers, seconds) for each in contenders}
            runs[callers] = turns(loads, rounds, tell)
    enrolled = sum(1 for line in gallery_list.read_text(encoding="utf-8").splitlines() if line.strip())
    return CompareReport(runs, enrolments, faces, enrolled)


def _loading(contender: Contender, callers: int, seconds: float) -> Callable[[], LoadResult]:
    return lambda: contender.load(callers, seconds)
