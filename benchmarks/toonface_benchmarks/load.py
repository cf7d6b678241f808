"""A closed-loop load: a fixed number of callers, each with one request in flight, for a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")


@dataclass(frozen=True)
class LoadResult:
    """What one run of a load came to.

    Attributes:
        concurrency: callers, each with one request in flight.
        latencies: seconds of each answered request, in no order.
        seconds: wall-clock time from the first request to the last answer.
    """

    concurrency: int
    latencies: tuple[float, ...]
    seconds: float

    @property
    def throughput(self) -> float:
        """Answered requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Latency in seconds that `percent` (0 to 100) of the requests stayed within."""
        return float(np.percentile(self.latencies, percent))


def pooled(runs: Sequence[LoadResult]) -> LoadResult:
    """Several runs of the same load as if they were one."""
    latencies = tuple(latency for run in runs for latency in run.latencies)
    return LoadResult(runs[0].concurrency, latencies, sum(run.seconds for run in runs))


def closed_loop(
    call: Callable[[_T], object], pictures: Sequence[_T], *, concurrency: int, seconds: float
) -> LoadResult:
    """Call `call` with the pictures in turn from `concurrency` threads until `seconds` have passed.

    Every caller walks through the pictures in the same order from another start, so that at any concurrency the mix of
    pictures is the same. Exceptions of `call` are not caught: a load with failures is not a measurement.
    """
    latencies: list[list[float]] = [[] for _ in range(concurrency)]
    failures: list[BaseException] = []
    begin = threading.Barrier(concurrency + 1)
    stop = threading.Event()

    def caller(number: int) -> None:
        turn = number * len(pictures) // concurrency
        begin.wait()
        try:
            while not stop.is_set():
                start = time.perf_counter()
                call(pictures[turn % len(pictures)])
                latencies[number].append(time.perf_counter() - start)
                turn += 1
        except BaseException as error:  # re-raised below, in the thread that asked for the load
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=caller, args=(number,), daemon=True) for number in range(concurrency)]
    for thread in threads:
        thread.start()
    begin.wait()
    start = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    if failures:
        raise failures[0]
    return LoadResult(concurrency, tuple(value for each in latencies for value in each), elapsed)
