"""An open-loop load: a request leaves when it is due, whether or not those before it were answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toonface_contract.errors import Overloaded, ToonfaceError

REFUSED = Overloaded.default_code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Attributes:
        due: seconds from the start of the load to the moment at which it had to leave.
        latency: seconds from then to its answer, refusal or failure; a sender that is late makes it longer.
        code: of the error; None if it was answered.
    """

    due: float
    latency: float
    code: str | None

    @property
    def ended(self) -> float:
        """Seconds from the start of the load to the answer, refusal or failure."""
        return self.due + self.latency


async def open_loop(
    ask: Callable[[bytes], Awaitable[object]],
    pictures: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    seed: int = 0,
    over: asyncio.Event | None = None,
) -> list[Outcome]:
    """Send the pictures in turn, `rate` a second on average, and wait for the last outcome.

    The times between requests are drawn from an exponential distribution, as of many callers who know nothing of each
    other.

    Args:
        ask: sends a picture; raises `ToonfaceError` if it is not answered, and does not try again.
        pictures: encoded.
        rate: requests a second, above 0.
        seconds: until the last request is due.
        seed: of the times.
        over: once it is set, nothing more is sent.

    Returns:
        The outcomes in the order in which the requests ended.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=_enough(rate * seconds))
    dues = np.cumsum(gaps)
    outcomes: list[Outcome] = []
    begin = time.perf_counter()

    async def send(picture: bytes, due: float) -> None:
        code = None
        try:
            await ask(picture)
        except ToonfaceError as error:
            code = error.code
        outcomes.append(Outcome(due, time.perf_counter() - begin - due, code))

    async with asyncio.TaskGroup() as tasks:
        for number, due in enumerate(dues[dues < seconds].tolist()):
            await asyncio.sleep(due - (time.perf_counter() - begin))
            if over is not None and over.is_set():
                break
            tasks.create_task(send(pictures[number % len(pictures)], due))
    return outcomes


def _enough(expected: float) -> int:
    """So many gaps that they outlast the load: six standard deviations more than are expected."""
    return int(expected + 6 * expected**0.5 + 10)


def percentiles_ms(outcomes: Sequence[Outcome], *percents: float) -> list[float]:
    """Latencies in milliseconds that so many percent (0 to 100) of the outcomes stayed within; NaN of none."""
    if not outcomes:
        return [float("nan")] * len(percents)
    found: list[float] = np.percentile([1000 * each.latency for each in outcomes], percents).tolist()
    return found


def failures(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Requests that were not answered, by the code of their error."""
    return dict(Counter(each.code for each in outcomes if each.code is not None))


def finite(document: Any) -> Any:
    """For JSON, which knows no NaN: the same with None in its place."""
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not np.isfinite(document) else document
