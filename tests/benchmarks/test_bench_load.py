from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from toonface_benchmarks import paced_load
from toonface_benchmarks.capacity import Capacity, capacity
from toonface_benchmarks.open_loop import REFUSED, Outcome, failures, finite, open_loop, percentiles_ms
from toonface_benchmarks.overload import OverloadReport, goodput
from toonface_benchmarks.paced_load import Pace, PacedLoad
from toonface_benchmarks.process_memory import ALL, MemoryLog, growth
from toonface_benchmarks.soak import SoakReport, windows
from toonface_benchmarks.soak_report import write_report
from toonface_contract.errors import Overloaded

PICTURES = [b"one", b"two", b"three"]


def test_requests_leave_when_they_are_due_though_nothing_is_answered() -> None:
    asked: list[bytes] = []
    every_one_is_there = asyncio.Event()

    async def ask(picture: bytes) -> None:
        asked.append(picture)
        if len(asked) % 3 == 0:
            raise Overloaded("full")
        await every_one_is_there.wait()

    async def load() -> list[Outcome]:
        asyncio.get_running_loop().call_later(0.5, every_one_is_there.set)
        return await open_loop(ask, PICTURES, rate=100, seconds=0.3)

    outcomes = asyncio.run(load())
    assert 10 < len(outcomes) == len(asked) < 60
    assert asked[:4] == [b"one", b"two", b"three", b"one"]
    assert all(0 <= each.due < 0.3 <= each.ended for each in outcomes if each.code is None)
    assert failures(outcomes) == {REFUSED: len(asked) // 3}


def test_a_load_that_is_over_sends_nothing_more() -> None:
    async def load() -> list[Outcome]:
        over = asyncio.Event()

        async def ask(picture: bytes) -> None:
            over.set()

        return await open_loop(ask, PICTURES, rate=100, seconds=60, over=over)

    assert 1 <= len(asyncio.run(load())) <= 3


def test_what_is_no_answer_of_the_server_ends_a_load() -> None:
    async def ask(picture: bytes) -> None:
        raise ZeroDivisionError(picture)

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(open_loop(ask, PICTURES, rate=100, seconds=0.1))
    assert raised.group_contains(ZeroDivisionError)


def test_callers_who_wait_have_one_request_each_in_flight() -> None:
    in_flight = most = 0

    async def ask(picture: bytes) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1

    found = asyncio.run(capacity(ask, PICTURES, seconds=0.3, callers=3))
    assert most == 3
    assert 0 < found.per_second <= 310 + 1e-6, "three every 10 ms, and three as the 0.3 s begin"
    assert found.p50_ms >= 10


def _paced(ask: Callable[[bytes], Awaitable[object]], seconds: float, rate: float | None = None) -> PacedLoad:
    settings: dict[str, Any] = {"progress": lambda text: None, "every": 0.5, "measure": 0.1}
    return PacedLoad(ask, PICTURES, seconds=seconds, share=0.05, rate=rate, **settings)


def test_a_load_at_a_share_follows_a_capacity_that_changes() -> None:
    takes = 0.01

    async def ask(picture: bytes) -> None:
        await asyncio.sleep(takes)

    async def send() -> PacedLoad:
        nonlocal takes
        load = _paced(ask, 1.5)
        await load.begin()
        takes = 0.2
        await load.send(asyncio.Event())
        return load

    load = asyncio.run(send())
    first, second, third = load.paces
    capacities = [pace.capacity_per_second for pace in load.paces]
    assert capacities[0] is not None and capacities[1] is not None and capacities[2] is not None
    assert capacities[0] > 100 > max(capacities[1:]), "16 callers, 0.2 s each"
    assert [pace.rate for pace in load.paces] == pytest.approx([0.05 * each for each in capacities if each])
    assert first.begin == 0 and 0.5 < second.begin < third.begin
    assert load.measuring_answered >= 3 * 16 and not load.measuring_failed
    dues = [each.due for each in load.outcomes]
    assert dues and max(dues) < 1.5
    assert not any(0.5 <= due < second.begin or 1 <= due < third.begin for due in dues), "a pause to measure in"


def test_a_measurement_in_a_load_that_fails_is_counted_and_leaves_the_rate() -> None:
    full = False

    async def ask(picture: bytes) -> None:
        await asyncio.sleep(0.01)
        if full:
            raise Overloaded("full")

    async def send() -> PacedLoad:
        nonlocal full
        load = _paced(ask, 1)
        await load.begin()
        full = True
        await load.send(asyncio.Event())
        return load

    load = asyncio.run(send())
    first, second = load.paces
    assert (second.capacity_per_second, second.rate) == (None, first.rate)
    assert 1 <= load.measuring_failed[REFUSED] <= 16
    assert set(failures(load.outcomes)) == {REFUSED}
    with pytest.raises(Overloaded):
        asyncio.run(_paced(ask, 1).begin())


def test_the_first_measurement_is_longer_where_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(picture: bytes) -> None:
        pass

    async def measured(ask: object, pictures: object, *, seconds: float) -> Capacity:
        lengths.append(seconds)
        return Capacity(100, 1)

    async def send(seconds: float) -> None:
        load = _paced(ask, seconds)
        await load.begin()
        await load.send(asyncio.Event())

    monkeypatch.setattr(paced_load, "capacity", measured)
    for seconds, expected in ((0.5, [0.1]), (1.5, [0.6, 0.1, 0.1])):
        lengths: list[float] = []
        asyncio.run(send(seconds))
        assert lengths == pytest.approx(expected)


def test_a_load_at_a_given_rate_measures_no_capacity() -> None:
    async def ask(picture: bytes) -> None:
        pass

    async def send() -> PacedLoad:
        load = _paced(ask, 1, rate=30)
        await load.begin()
        await load.send(asyncio.Event())
        return load

    load = asyncio.run(send())
    assert load.paces == [Pace(0, None, 30)]
    assert load.measuring_answered == 0 < len(load.outcomes)


def test_percentiles_without_an_outcome_are_no_numbers_and_null_in_json() -> None:
    assert percentiles_ms([Outcome(0, 0.1, None), Outcome(0, 0.3, None)], 0, 50, 100) == pytest.approx([100, 200, 300])
    nothing = percentiles_ms([], 50, 99)
    assert all(math.isnan(each) for each in nothing)
    assert finite({"p": nothing, "of": (1, "x")}) == {"p": [None, None], "of": [1, "x"]}


def test_goodput_counts_answers_while_the_load_lasts() -> None:
    answers = [Outcome(due, 0.5, None) for due in np.arange(0, 8, 0.5)]
    refusals = [Outcome(due, 0.01, REFUSED) for due in np.arange(0, 8, 0.1)]
    assert goodput(answers + refusals, 8) == pytest.approx(12 / 6)


def _overload(**changes: object) -> OverloadReport:
    values: dict[str, object] = {
        "peak_per_second": 50.0,
        "peak_runs": (50.0, 45.0),
        "peak_p50": 100.0,
        "offered_per_second": 150.0,
        "goodput_per_second": 45.0,
        "answered": 450,
        "refused": 1050,
        "failed": {},
        "answered_p50": 900.0,
        "answered_p95": 950.0,
        "answered_p99": 990.0,
        "refused_p50": 5.0,
        "refused_p95": 10.0,
        "refused_p99": 20.0,
    }
    return OverloadReport(**{**values, **changes})  # type: ignore[arg-type]


def test_an_overload_has_its_faults_named() -> None:
    assert _overload().faults(0.8) == []
    assert (_overload().as_dict()["share"], _overload().as_dict()["times"]) == (0.9, 3.0)
    assert _overload(goodput_per_second=30.0).faults(0.8) == ["goodput is 60% of the peak, less than 80%"]
    assert _overload(failed={"deadline_exceeded": 3}).faults(0.8) == [
        "neither answered nor refused: 3 deadline_exceeded"
    ]
    assert _overload(goodput_per_second=40.0).faults(0.8) == []
    slow = "one refusal in twenty took 11 ms or more, longer than 10% of an answer at the peak (100 ms, median)"
    assert _overload(refused_p95=11.0).faults(0.8) == [slow]
    assert _overload(goodput_per_second=39.0, refused_p95=11.0).faults(0.8) == [
        "goodput is 78% of the peak, less than 80%",
        slow,
    ]
    assert _overload(refused=0, refused_p95=math.nan).faults(0.8) == []


def test_windows_divide_a_load_by_when_requests_were_due() -> None:
    outcomes = [Outcome(1, 5.0, None), Outcome(2, 0.1, "internal"), Outcome(9.9999, 0.2, None)]
    first, second = windows(outcomes, 10, 2)
    assert (first.begin, first.requests, first.failed, first.p50) == (0, 2, 1, 5000)
    assert (second.begin, second.requests, second.failed) == (5, 1, 0)


def test_a_leak_grows_and_noise_does_not() -> None:
    seconds = list(range(100))
    noise = np.random.default_rng(1).normal(0, 3, 100)
    leak = growth("leak", seconds, 100 + 0.4 * np.arange(100) + noise, warm_up=25)
    assert leak.grows
    assert leak.rise_mb == pytest.approx(0.4 * 74, rel=0.2)
    assert leak.mb_an_hour == pytest.approx(0.4 * 3600, rel=0.2)
    flat = 100 + noise
    flat[[30, 60, 90]] = 500
    assert not growth("peaks", seconds, flat, warm_up=25).grows
    assert not growth("warming up", seconds, np.minimum(100, 5.0 * np.arange(100)), warm_up=25).grows
    assert not growth("large", seconds, 1000 + 0.3 * np.arange(100), warm_up=25).grows
    assert not growth("hardly there", seconds, [math.nan] * 99 + [1.0], warm_up=25).grows


def test_a_process_that_comes_later_has_its_place_in_the_log() -> None:
    log = MemoryLog()
    log.add(0, {"a": 1.0})
    log.add(1, {"a": 2.0, "b": 5.0})
    log.add(2, {"b": 6.0})
    assert log.seconds == [0, 1, 2]
    assert log.megabytes == {
        "a": pytest.approx([1, 2, math.nan], nan_ok=True),
        "b": pytest.approx([math.nan, 5, 6], nan_ok=True),
    }
    assert [each.process for each in log.growths(warm_up=0)] == ["a", "b", ALL]


def test_an_empty_log_has_no_growths() -> None:
    assert MemoryLog().growths(warm_up=0) == []


@pytest.fixture
def sleepers() -> Iterator[list[psutil.Process]]:
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for each in started:
        assert each.stdout is not None
        each.stdout.readline()
    yield [psutil.Process(each.pid) for each in started]
    for each in started:
        each.kill()
        each.wait()


def test_another_process_of_the_same_name_is_a_restart(sleepers: list[psutil.Process]) -> None:
    log = MemoryLog()
    present = [sleepers[1], sleepers[1], sleepers[0], sleepers[0]]

    async def look() -> None:
        await log.follow(lambda: {"stage": present.pop()}, 0)

    with pytest.raises(IndexError):
        asyncio.run(look())
    assert len(log.seconds) == 4
    assert log.restarts == 1
    assert all(1 < each < 200 for each in log.megabytes["stage"])


def _soak(log: MemoryLog, ended: str | None = None, **failed: int) -> SoakReport:
    outcomes = [Outcome(due, 0.1, None) for due in range(100)]
    return SoakReport(
        seconds=100,
        ended=ended,
        share=0.5,
        paces=[Pace(0, 2.0, 1.0), Pace(40, None, 1.0), Pace(80, 3.0, 1.5)],
        measuring_answered=30,
        measuring_failed={},
        requests=100,
        answered=100,
        failed=failed,
        written=20,
        write_failed={},
        p50=100,
        p95=100,
        p99=100,
        windows=windows(outcomes, 100, 10),
        memory=log,
        growths=log.growths(warm_up=25),
    )


def test_the_report_of_a_soak_has_figures_plot_and_faults(tmp_path: Path) -> None:
    log = MemoryLog()
    for second in range(100):
        log.add(second, {"steady": 50.0, "leaking": 50.0 + second} if second else {"steady": 50.0})
    report = _soak(log, overloaded=2)
    text = write_report(report, tmp_path, about={"machine": "two cores"}).read_text()
    assert "machine: two cores" in text
    assert "- load: 1.0 to 1.5 pictures a second, 50% of the 2.0 to 3.0 that it can answer, for 1.7 minutes" in text
    assert "| requests that measured the capacity, failed ones | 30, 0 |" in text
    assert "| 0.0 | 2.0 | 1.0 |\n| 0.7 | not measured | 1.0 |\n| 1.3 | 3.0 | 1.5 |" in text
    assert "- 2 requests failed: overloaded" in text
    assert "- the memory of leaking grew by 74 MB (3600 MB an hour)" in text
    assert "| steady | 50 | +0.0 | +0.0 | no |" in text
    assert (tmp_path / "soak.png").stat().st_size > 10_000
    document = json.loads((tmp_path / "soak.json").read_text())["soak"]
    assert document["memory"]["megabytes"]["leaking"][:2] == [None, 51.0]
    assert len(document["faults"]) == 3


def test_a_soak_without_faults_says_so(tmp_path: Path) -> None:
    log = MemoryLog()
    for second in range(100):
        log.add(second, {"steady": 50.0})
    assert "Nothing failed, and no memory grew" in write_report(_soak(log), tmp_path, about={}).read_text()


def test_requests_that_failed_while_the_capacity_was_measured_are_a_fault() -> None:
    report = replace(_soak(MemoryLog()), measuring_failed={"overloaded": 2})
    assert report.faults() == ["2 requests failed while the capacity was measured: overloaded"]


def test_the_report_of_a_soak_at_a_given_rate_knows_no_capacity(tmp_path: Path) -> None:
    log = MemoryLog(seconds=[0.0, 1.0], megabytes={"steady": [50.0, 50.0]})
    report = replace(_soak(log), share=None, paces=[Pace(0, None, 5.0)], measuring_answered=0)
    text = write_report(report, tmp_path, about={}).read_text()
    assert "- load: 5.0 pictures a second, for 1.7 minutes" in text
    assert "capacity" not in text and "it can answer" not in text


def test_a_server_that_ended_is_the_first_fault_of_a_soak() -> None:
    report = _soak(MemoryLog(seconds=[0.0, 1.0], megabytes={"steady": [50.0, 50.0]}), ended="it is gone", unavailable=3)
    assert report.faults() == ["after 100 s the server ended: it is gone", "3 requests failed: unavailable"]
