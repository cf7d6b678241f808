"""A long load at a share of what a server can answer, measured anew at intervals, as a machine's own speed changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from toonface_benchmarks.capacity import capacity
from toonface_benchmarks.open_loop import Outcome, open_loop
from toonface_contract.errors import ToonfaceError

# tritonserver keeps the memory of requests that waited. Where the capacity is measured again, the first measurement is
# so many times as long: the server then has what the others need, and does not seem to leak with each of them.
_FIRST = 6


@dataclass(frozen=True)
class Pace:
    """The load from a moment on.

    Attributes:
        begin: in seconds from the start of the whole load.
        capacity_per_second: answers a second, measured right before; None if the rate was given, or if a request was
            not answered meanwhile and the rate stays as it was.
        rate: requests a second that are asked for.
    """

    begin: float
    capacity_per_second: float | None
    rate: float


class PacedLoad:
    """Sends pictures at random times, at a given rate or at a share of the latest capacity.

    Attributes:
        paces: one after another.
        outcomes: of the load's requests, due from its start; those that measure the capacity are not among them.
        measuring_answered: requests that measured the capacity and were answered.
        measuring_failed: those that were not, by the code of their error.
    """

    def __init__(
        self,
        ask: Callable[[bytes], Awaitable[object]],
        pictures: Sequence[bytes],
        *,
        seconds: float,
        share: float,
        rate: float | None,
        progress: Callable[[str], None],
        every: float = 300.0,
        measure: float = 10.0,
    ) -> None:
        """Prepare; `begin` and then `send` do the work.

        Args:
            ask: sends a picture; raises `ToonfaceError` if it is not answered, and does not try again.
            pictures: encoded; sent in turn.
            seconds: until the last request is due; the load pauses in them while the capacity is measured.
            share: of the capacity.
            rate: requests a second in place of a share; None to measure the capacity.
            progress: told what is going on.
            every: seconds from one measurement to the next, about.
            measure: seconds of one, after a warm-up of a third as long; the first may take longer.
        """
        self.paces: list[Pace] = []
        self.outcomes: list[Outcome] = []
        self.measuring_answered = 0
        self.measuring_failed: Counter[str] = Counter()
        self._ask = ask
        self._pictures = pictures
        self._seconds = seconds
        self._share = share
        self._rate = rate
        self._progress = progress
        self._measure = measure
        self._parts = max(1, round(seconds / every)) if rate is None else 1

    async def begin(self) -> None:
        """Find the first pace.

        Raises:
            ToonfaceError: a request that measured the capacity was not answered.
        """
        if self._rate is not None:
            self.paces.append(Pace(0.0, None, self._rate))
            return
        self._progress("the capacity")
        self._pace(0.0, await self._capacity(self._measure * (_FIRST if self._parts > 1 else 1)))

    async def send(self, over: asyncio.Event) -> None:
        """Send the load; once `over` is set, nothing more."""
        start = time.perf_counter()
        for part in range(self._parts):
            if part:
                await self._pace_anew(start)
            begin = time.perf_counter() - start
            left = max(0.0, self._seconds * (part + 1) / self._parts - begin)
            sent = await open_loop(
                self._ask, self._pictures, rate=self.paces[-1].rate, seconds=left, seed=part, over=over
            )
            self.outcomes += [replace(each, due=begin + each.due) for each in sent]
            if over.is_set():
                break

    async def _pace_anew(self, start: float) -> None:
        """A request that is not answered is counted, and ends the measurement but not the load."""
        try:
            found = await self._capacity(self._measure)
        except ToonfaceError as error:
            self.paces.append(Pace(time.perf_counter() - start, None, self.paces[-1].rate))
            self._progress(f"the capacity could not be measured: {error.message}")
            return
        self._pace(time.perf_counter() - start, found)
        self._progress(f"{self.paces[-1].rate:.1f} requests a second from here on, of {found:.1f} that it can answer")

    def _pace(self, begin: float, per_second: float) -> None:
        self.paces.append(Pace(begin, per_second, self._share * per_second))

    async def _capacity(self, seconds: float) -> float:
        """Answers a second, in so many seconds after a warm-up.

        Raises:
            ToonfaceError: of the first request that was not answered; those in flight by then are given up uncounted.
        """

        async def counted(picture: bytes) -> None:
            try:
                await self._ask(picture)
            except ToonfaceError as error:
                self.measuring_failed[error.code] += 1
                raise
            self.measuring_answered += 1

        return (await capacity(counted, self._pictures, seconds=seconds)).per_second
