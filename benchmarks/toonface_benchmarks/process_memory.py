"""The memory of a server's processes over time, and whether it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil

ALL = "all together"

# A process grows if, after the warm-up, its memory rises by more than this share of its median and by more than so many
# MB: less than that, allocators and page caches move by themselves.
GROWTH_SHARE = 0.03
GROWTH_MB = 8.0


@dataclass(frozen=True)
class Growth:
    """A process's memory after the warm-up; what several share is divided among them (PSS).

    Attributes:
        process: its name.
        median_mb: in MB.
        rise_mb: of a robust straight line from its first to its last sample, in MB.
        mb_an_hour: the line's slope.
    """

    process: str
    median_mb: float
    rise_mb: float
    mb_an_hour: float

    @property
    def grows(self) -> bool:
        """Whether the rise exceeds both bounds."""
        return self.rise_mb > max(GROWTH_MB, GROWTH_SHARE * self.median_mb)


def growth(process: str, seconds: Sequence[float], megabytes: Sequence[float], *, warm_up: float) -> Growth:
    """Look at a process's samples from `warm_up` seconds on.

    The line is that of Theil and Sen: the median of the slopes between all pairs of samples, which a few outliers do
    not move.

    Args:
        process: its name.
        seconds: when the samples were taken, rising.
        megabytes: the samples; NaN where the process was not there.
        warm_up: seconds to leave out. A process that was there for less than two samples after them does not grow.
    """
    taken = np.asarray(seconds, np.float64)
    values = np.asarray(megabytes, np.float64)
    counted = (taken >= warm_up) & np.isfinite(values)
    taken, values = taken[counted], values[counted]
    if len(taken) < 2:
        return Growth(process, float("nan"), 0.0, 0.0)
    first, second = np.triu_indices(len(taken), 1)
    slope = float(np.median((values[second] - values[first]) / (taken[second] - taken[first])))
    return Growth(process, float(np.median(values)), slope * float(taken[-1] - taken[0]), slope * 3600)


@dataclass
class MemoryLog:
    """The memory of some processes over time.

    Attributes:
        seconds: of each sample, from the first one's time.
        megabytes: PSS of each process, by its name; NaN where it was not there.
        restarts: times that another process had the name of one that was there before.
    """

    seconds: list[float] = field(default_factory=list)
    megabytes: dict[str, list[float]] = field(default_factory=dict)
    restarts: int = 0

    async def follow(self, processes: Callable[[], Mapping[str, psutil.Process]], pause: float) -> None:
        """Take a sample every `pause` seconds until the task is cancelled."""
        begin = time.perf_counter()
        known: dict[str, int] = {}
        while True:
            taken, sample = await asyncio.to_thread(_sample, processes)
            self.add(taken - begin, {name: megabytes for name, (_, megabytes) in sample.items()})
            for name, (pid, _) in sample.items():
                self.restarts += known.setdefault(name, pid) != pid
                known[name] = pid
            await asyncio.sleep(pause)

    def add(self, seconds: float, megabytes: Mapping[str, float]) -> None:
        """Note a sample, of each process by its name."""
        for name in megabytes:
            self.megabytes.setdefault(name, [float("nan")] * len(self.seconds))
        self.seconds.append(seconds)
        for name, values in self.megabytes.items():
            values.append(megabytes.get(name, float("nan")))

    def growths(self, *, warm_up: float) -> list[Growth]:
        """Of each process, and of all together, from `warm_up` seconds on; none if no sample was taken."""
        if not self.seconds:
            return []
        found = [growth(name, self.seconds, values, warm_up=warm_up) for name, values in self.megabytes.items()]
        total = np.nansum(list(self.megabytes.values()), axis=0)
        return [*found, growth(ALL, self.seconds, total, warm_up=warm_up)]


def _sample(processes: Callable[[], Mapping[str, psutil.Process]]) -> tuple[float, dict[str, tuple[int, float]]]:
    """The time, and each process's id and MB; one that ends meanwhile is left out."""
    taken = time.perf_counter()
    found = {}
    for name, process in processes().items():
        try:
            found[name] = process.pid, process.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
    return taken, found
