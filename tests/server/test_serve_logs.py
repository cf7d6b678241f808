"""Lines that the real tritonserver and its stages wrote."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from toonface_server.events import Reporter
from toonface_server.logs import Line, parse, remedy

LOADED = "I1124 03:05:07.015021 24574 model_lifecycle.cc:839] \"successfully loaded 'second'\""
FAILED = (
    "E1124 03:30:49.026750 24574 model_lifecycle.cc:642] \"failed to load 'x' version 1: Internal: "
    "ModuleNotFoundError: No module named 'faiss'\\n\\nAt:\\n  model.py(3): <module>\\n"
    '  <frozen importlib._bootstrap>(241): _call_with_frames_removed\\n"'
)
STAGE = "2026-11-24 03:40:46,123 WARNING gallery_search: the gallery store does not answer"


def test_a_message_is_unquoted_and_gets_its_level_and_time() -> None:
    assert parse('W1124 03:05:06.811511 24574 x.cc:1] "one \\"two\\""') == Line("warning", "03:05:06", 'one "two"')


def test_a_traceback_keeps_its_lines_and_gets_advice() -> None:
    line = parse(FAILED)
    assert line is not None
    assert line.level == "error"
    assert line.message.splitlines()[2:] == ["At:", "  model.py(3): <module>"]
    assert "faiss" in line.remedy and "pip install 'toonface[server]'" in line.remedy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+--------+---------+--------+",
        "| Model  | Version | Status |",
        "I1124 03:05:07.028860 24574 tritonserver.cc:2598] ",
    ],
)
def test_tables_are_dropped(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        'E1124 03:05:06.811693 24574 server.cc:241] "CudaDriverHelper has not been initialized."',
        "Error: Failed to initialize NVML",
        'W1124 03:05:07.028571 24574 metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
        'I1124 03:05:12.117748 24574 server.cc:345] "Timeout 19: Found 2 live models and 0 in-flight requests"',
        "I1124 03:30:49.1 24574 model_lifecycle.cc:776] \"failed to load 'x'\"",
        "load failed for model 'x': version 1 is at UNAVAILABLE state: Internal: ModuleNotFoundError",
        "  /repository/x/1/model.py(3): <module>",
        LOADED,
    ],
)
def test_noise_is_known(text: str) -> None:
    line = parse(text)
    assert line is not None and line.noise


def test_a_failure_is_not_noise() -> None:
    line = parse(FAILED)
    assert line is not None and not line.noise


def test_what_a_stage_logs_keeps_its_level() -> None:
    assert parse(STAGE) == Line("warning", "03:40:46", "gallery_search: the gallery store does not answer")


def test_what_a_stage_prints_is_passed_on() -> None:
    assert parse("hello  world\n") == Line("info", "", "hello  world")


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("Unable to initialize shared memory key 'a' to requested size (1048576 bytes).", "--shm-size"),
        ("Failed to increase the shared memory pool size to 2 bytes.", "--shm-size"),
        ("Socket '127.0.0.1:8000' already in use", "--http-port"),
        ("unable to find backend library for backend 'tensorrt', try specifying runtime", "export it again"),
        ("bind: Too many open files", "ulimit -n"),
        ("all is well", ""),
    ],
)
def test_known_failures_are_told_what_to_do(message: str, advice: str) -> None:
    assert (advice in remedy(message)) if advice else remedy(message) == ""


def _reported(reporter_options: dict[str, bool], lines: list[str]) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        reporter = Reporter(**reporter_options)
        for text in lines:
            line = parse(text)
            assert line is not None
            reporter.line(line)
        reporter.event("stage_died", "stage x died [sic]", level="warning", stage="x")
    return out.getvalue(), err.getvalue()


def test_events_are_json_on_stdout_and_lines_for_people_on_stderr() -> None:
    out, err = _reported({"as_json": True}, [LOADED, STAGE])
    [event] = map(json.loads, out.splitlines())
    assert (event["event"], event["stage"]) == ("stage_died", "x")
    assert err.splitlines()[0] == "03:40:46 warning gallery_search: the gallery store does not answer"
    assert err.splitlines()[1].endswith("warning toonface: stage x died [sic]")


def test_verbose_passes_noise_on() -> None:
    out, err = _reported({"verbose": True}, [LOADED])
    assert out == ""
    assert "successfully loaded 'second'" in err
