"""More requests than a server can answer: how much of its peak remains, and how soon the others are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toonface_benchmarks.capacity import capacity
from toonface_benchmarks.open_loop import REFUSED, Outcome, failures, finite, open_loop, percentiles_ms
from toonface_client import AsyncToonfaceClient, RetryPolicy

# The queues fill before the load counts: of its first part, so much at most.
_SETTLING_SHARE = 0.25
_SETTLING_SECONDS = 5.0
# A refusal is quick if it takes no more than this share of an answer's median time at the peak.
_QUICK_SHARE = 0.1


@dataclass(frozen=True)
class OverloadReport:
    """What `toonface bench overload` found; times in milliseconds.

    Attributes:
        peak_per_second: answers a second to callers who wait for each; the better of a run before and one after.
        peak_runs: of both.
        peak_p50: median latency of the better run.
        offered_per_second: requests that were due.
        goodput_per_second: answers while the load lasted, from when the queues have filled.
        answered, refused: requests over the whole load.
        failed: the others, by the code of their error.
        answered_p50, answered_p95, answered_p99: latency of answers.
        refused_p50, refused_p95, refused_p99: the same of refusals; NaN without one.
    """

    peak_per_second: float
    peak_runs: tuple[float, float]
    peak_p50: float
    offered_per_second: float
    goodput_per_second: float
    answered: int
    refused: int
    failed: dict[str, int]
    answered_p50: float
    answered_p95: float
    answered_p99: float
    refused_p50: float
    refused_p95: float
    refused_p99: float

    @property
    def share(self) -> float:
        """Goodput as a share of the peak."""
        return self.goodput_per_second / self.peak_per_second

    @property
    def times(self) -> float:
        """The load as a multiple of the peak, which may have been higher after it than before."""
        return self.offered_per_second / self.peak_per_second

    def faults(self, aim: float) -> list[str]:
        """What is wrong, a sentence each.

        Args:
            aim: share of the peak that has to remain.
        """
        found = []
        if self.share < aim:
            found.append(f"goodput is {self.share:.0%} of the peak, less than {aim:.0%}")
        if self.failed:
            found.append("neither answered nor refused: " + ", ".join(f"{n} {code}" for code, n in self.failed.items()))
        if self.refused and self.refused_p95 > _QUICK_SHARE * self.peak_p50:
            found.append(
                f"one refusal in twenty took {self.refused_p95:.0f} ms or more, longer than {_QUICK_SHARE:.0%} of an "
                f"answer at the peak ({self.peak_p50:.0f} ms, median)"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        document: dict[str, Any] = finite({**asdict(self), "share": self.share, "times": self.times})
        return document


async def measure(
    address: str,
    gallery: str,
    pictures: Sequence[bytes],
    *,
    times: float,
    seconds: float,
    timeout: float,
    progress: Callable[[str], None],
) -> tuple[OverloadReport, list[Outcome]]:
    """Find a server's peak, put a multiple of it on the server, and find the peak once more.

    Args:
        address: gRPC endpoint.
        gallery: that is searched; it must exist.
        pictures: encoded; sent in turn.
        times: the load as a multiple of the peak.
        seconds: of the load.
        timeout: seconds after which a caller gives up; its request has failed then.
        progress: told what is going on.

    Returns:
        The report, and what became of each request.
    """
    async with AsyncToonfaceClient(address, timeout=timeout, retry=RetryPolicy(attempts=1)) as client:

        def ask(picture: bytes) -> Awaitable[object]:
            return client.recognize(picture, gallery=gallery)

        progress("the peak, before")
        before = await capacity(ask, pictures, seconds=seconds)
        rate = times * before.per_second
        progress(f"{rate:.0f} requests a second for {seconds:g} seconds")
        outcomes = await open_loop(ask, pictures, rate=rate, seconds=seconds)
        progress("the peak, after")
        after = await capacity(ask, pictures, seconds=seconds)
    best = max(before, after, key=lambda each: each.per_second)
    answered = [each for each in outcomes if each.code is None]
    refused = [each for each in outcomes if each.code == REFUSED]
    report = OverloadReport(
        best.per_second,
        (before.per_second, after.per_second),
        best.p50_ms,
        len(outcomes) / seconds,
        goodput(outcomes, seconds),
        len(answered),
        len(refused),
        {code: number for code, number in failures(outcomes).items() if code != REFUSED},
        *percentiles_ms(answered, 50, 95, 99),
        *percentiles_ms(refused, 50, 95, 99),
    )
    return report, outcomes


def goodput(outcomes: Sequence[Outcome], seconds: float) -> float:
    """Answers a second between the moment when the queues have filled and the end of the load."""
    settled = min(_SETTLING_SECONDS, _SETTLING_SHARE * seconds)
    counted = sum(each.code is None and settled <= each.ended < seconds for each in outcomes)
    return counted / (seconds - settled)
