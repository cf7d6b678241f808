"""A long, steady load with gallery writes going on: does anything fail, and does memory grow?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toonface_benchmarks.gallery_churn import GalleryChurn
from toonface_benchmarks.open_loop import Outcome, failures, finite, percentiles_ms
from toonface_benchmarks.paced_load import Pace, PacedLoad
from toonface_benchmarks.process_memory import Growth, MemoryLog
from toonface_benchmarks.serving import Served
from toonface_client import AsyncToonfaceClient, RetryPolicy
from toonface_contract.errors import ServerError

_WINDOWS = 60
_SAMPLES = 360
# Caches, allocators and the gallery's guests fill up in the first part of a soak.
_WARM_UP_SHARE = 0.25


@dataclass(frozen=True)
class Window:
    """A part of the load: requests that were due in it.

    Attributes:
        begin: in seconds from the start.
        requests: so many.
        failed: those of them that were not answered.
        p50, p95, p99: latency of the others in milliseconds; NaN without one.
    """

    begin: float
    requests: int
    failed: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class SoakReport:
    """What `toonface bench soak` found.

    Attributes:
        seconds: of the load; less than was asked for if the server ended.
        ended: why it did; None if it did not.
        share: of the capacity that was asked for; None if the rate was given.
        paces: capacity and rate over time.
        measuring_answered: requests that measured the capacity, before the load and in its pauses, and were answered;
            all further figures of requests are without these.
        measuring_failed: those that were not, by the code of their error.
        requests, answered: over the whole load.
        failed: requests that were not answered, by the code of their error.
        written: gallery changes that were acknowledged.
        write_failed: those that failed, by the code of their error.
        p50, p95, p99: latency of answers in milliseconds.
        windows: the load in parts.
        memory: of the server's processes over time.
        growths: of each process after the warm-up, and of all together.
    """

    seconds: float
    ended: str | None
    share: float | None
    paces: list[Pace]
    measuring_answered: int
    measuring_failed: dict[str, int]
    requests: int
    answered: int
    failed: dict[str, int]
    written: int
    write_failed: dict[str, int]
    p50: float
    p95: float
    p99: float
    windows: list[Window]
    memory: MemoryLog
    growths: list[Growth]

    def faults(self) -> list[str]:
        """What is wrong, a sentence each."""
        found = [f"after {self.seconds:.0f} s the server ended: {self.ended}"] if self.ended is not None else []
        found += [f"{number} requests failed: {code}" for code, number in self.failed.items()]
        found += [
            f"{number} requests failed while the capacity was measured: {code}"
            for code, number in self.measuring_failed.items()
        ]
        found += [f"{number} gallery changes failed: {code}" for code, number in self.write_failed.items()]
        if self.memory.restarts:
            found.append(f"processes of the server were restarted {self.memory.restarts} times")
        found += [
            f"the memory of {each.process} grew by {each.rise_mb:.0f} MB ({each.mb_an_hour:.0f} MB an hour)"
            for each in self.growths
            if each.grows
        ]
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        document: dict[str, Any] = finite({**asdict(self), "faults": self.faults()})
        return document


async def measure(
    server: Served,
    gallery: str,
    pictures: Sequence[bytes],
    *,
    seconds: float,
    share: float,
    rate: float | None,
    writes: float,
    timeout: float,
    progress: Callable[[str], None],
) -> SoakReport:
    """Load a server for `seconds`, at a share of the capacity that it shows at the time; the load ends with the server.

    Args:
        server: running on this machine.
        gallery: that is searched and changed; it must exist.
        pictures: encoded; sent in turn.
        seconds: of the load.
        share: of the capacity.
        rate: requests a second in place of a share; None to find the capacity, before the load and every five minutes.
        writes: gallery changes a second.
        timeout: seconds for each request, which is not tried again.
        progress: told what is going on.

    Raises:
        ToonfaceError: a request that measured the capacity before the load was not answered.
    """
    async with AsyncToonfaceClient(server.address, timeout=timeout, retry=RetryPolicy(attempts=1)) as client:

        def ask(picture: bytes) -> Awaitable[object]:
            return client.recognize(picture, gallery=gallery)

        load = PacedLoad(ask, pictures, seconds=seconds, share=share, rate=rate, progress=progress)
        await load.begin()
        progress(f"{load.paces[0].rate:.1f} requests a second for {seconds:g} seconds")
        churn = GalleryChurn(client, gallery)
        memory, over = MemoryLog(), asyncio.Event()
        ended: str | None = None

        async def watch() -> None:
            nonlocal ended, seconds
            begin = time.perf_counter()
            try:
                await memory.follow(server.processes, seconds / _SAMPLES)
            except ServerError as error:
                ended, seconds = error.message, time.perf_counter() - begin
                over.set()

        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(churn.write(writes)), tasks.create_task(watch())]
            await load.send(over)
            for task in beside:
                task.cancel()
    answered = [each for each in load.outcomes if each.code is None]
    p50, p95, p99 = percentiles_ms(answered, 50, 95, 99)
    return SoakReport(
        seconds=seconds,
        ended=ended,
        share=share if rate is None else None,
        paces=load.paces,
        measuring_answered=load.measuring_answered,
        measuring_failed=dict(load.measuring_failed),
        requests=len(load.outcomes),
        answered=len(answered),
        failed=failures(load.outcomes),
        written=churn.written,
        write_failed=dict(churn.failed),
        p50=p50,
        p95=p95,
        p99=p99,
        windows=windows(load.outcomes, seconds, _WINDOWS),
        memory=memory,
        growths=memory.growths(warm_up=_WARM_UP_SHARE * seconds),
    )


def windows(outcomes: Sequence[Outcome], seconds: float, count: int) -> list[Window]:
    """Divide a load of so many seconds into `count` equal parts."""
    length = seconds / count
    parts: list[list[Outcome]] = [[] for _ in range(count)]
    for each in outcomes:
        parts[min(count - 1, int(each.due / length))].append(each)
    found = []
    for number, part in enumerate(parts):
        answered = [each for each in part if each.code is None]
        figures = percentiles_ms(answered, 50, 95, 99)
        found.append(Window(number * length, len(part), len(part) - len(answered), *figures))
    return found
