"""The highest load whose latency keeps within a budget, found by doubling and halving."""

from __future__ import annotations

from collections.abc import Callable

from toonface_benchmarks.perf_analyzer import Load, LoadKind, Measurement

# A load doubled twice that brings less than this many times the throughput has found the server's peak.
_GAIN = 1.05
# Rates are told apart to this share; concurrencies are whole numbers.
_RATE_STEP = 0.05


def most_within(measure: Callable[[Load], Measurement], kind: LoadKind, budget_ms: float) -> list[Measurement]:
    """Double the load from 1 until the 95th percentile exceeds the budget, and halve the gap from there.

    Args:
        measure: puts a load on the server.
        kind: of the loads.
        budget_ms: for the 95th percentile of the latency.

    Returns:
        All measurements, by rising load. The search also ends where more load brings no more throughput, or where the
        first load exceeds the budget already.
    """
    found = [measure(Load(kind, 1))]
    low = found[0].load.value
    while found[-1].p95 <= budget_ms:
        low = found[-1].load.value
        found.append(measure(Load(kind, 2 * low)))
        peak = len(found) > 2 and found[-1].throughput < _GAIN * found[-3].throughput
        if peak and found[-1].p95 <= budget_ms:
            return found
    high = found[-1].load.value
    while high - low > (1 if kind == "concurrency" else _RATE_STEP * high):
        middle = (low + high) // 2 if kind == "concurrency" else (low + high) / 2
        found.append(measure(Load(kind, middle)))
        low, high = (middle, high) if found[-1].p95 <= budget_ms else (low, middle)
    return sorted(found, key=lambda each: each.load.value)
