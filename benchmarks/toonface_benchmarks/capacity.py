"""What a server answers at most: callers who each wait for their answer before they ask again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Enough that no stage waits for a caller; well below the queues' bounds.
CALLERS = 16
_WARM_UP_SHARE = 0.3


@dataclass(frozen=True)
class Capacity:
    """Answers a second, and the median of their latency in milliseconds."""

    per_second: float
    p50_ms: float


async def capacity(
    ask: Callable[[bytes], Awaitable[object]], pictures: Sequence[bytes], *, seconds: float, callers: int = CALLERS
) -> Capacity:
    """Let callers ask for `seconds`, after a warm-up of a third as long.

    Args:
        ask: sends a picture, and raises `ToonfaceError` if it is not answered.
        pictures: encoded; each caller walks through them in the same order from another start.
        seconds: that count; longer, if there are fewer answers than callers by then.
        callers: each with one request in flight.

    Raises:
        ToonfaceError: the first that was not answered, which ends the measurement.
    """
    latencies: list[float] = []
    begin = last = time.perf_counter() + _WARM_UP_SHARE * seconds
    end = begin + seconds

    async def caller(number: int) -> None:
        nonlocal last
        turn = number * len(pictures) // callers
        while (start := time.perf_counter()) < end or len(latencies) < callers:
            await ask(pictures[turn % len(pictures)])
            turn += 1
            if (now := time.perf_counter()) >= begin:
                latencies.append(now - start)
                last = now

    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(callers):
                tasks.create_task(caller(number))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return Capacity(len(latencies) / (last - begin), 1000 * float(np.median(latencies)))
