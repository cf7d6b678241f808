from __future__ import annotations

import pytest

from toonface_benchmarks.budget_search import most_within
from toonface_benchmarks.perf_analyzer import Load, Measurement


def _server(load: Load) -> Measurement:
    """One that answers 40 a second at most, within 25 ms at first; its latency follows Little's law."""
    if load.kind == "concurrency":
        throughput = min(40.0, 40 * load.value)
        latency = 1000 * load.value / throughput
    else:
        throughput = min(40.0, load.value)
        latency = 25 / (1 - load.value / 40) if load.value < 40 else 10_000.0
    return Measurement(load, throughput, latency, latency, latency, latency, 0.0, 0.0)


def _growing(load: Load) -> Measurement:
    latency = 10 * load.value
    return Measurement(load, 100 * load.value, latency, latency, latency, latency, 0.0, 0.0)


def test_the_highest_concurrency_is_found_exactly() -> None:
    found = most_within(_growing, "concurrency", 110)
    assert [each.load.value for each in found] == [1, 2, 4, 8, 10, 11, 12, 16]


def test_the_highest_rate_is_found_to_a_twentieth() -> None:
    found = most_within(_server, "rate", 100)
    best = max(each.load.value for each in found if each.p95 <= 100)
    assert best == pytest.approx(30, rel=0.06)
    assert [each.load.value for each in found] == sorted(each.load.value for each in found)


def test_a_search_ends_where_load_brings_nothing_more() -> None:
    assert [each.load.value for each in most_within(_server, "concurrency", 1e9)] == [1, 2, 4]


def test_a_budget_that_the_first_load_exceeds_ends_the_search() -> None:
    assert [each.load.value for each in most_within(_server, "concurrency", 1)] == [1]
    assert [each.load.value for each in most_within(_server, "rate", 1)] == [1]
