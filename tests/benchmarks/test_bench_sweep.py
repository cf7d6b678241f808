from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toonface_benchmarks.perf_analyzer import Load, LoadKind, Measurement, PerfAnalyzer, read_report, write_inputs
from toonface_benchmarks.picture_mix import FACES, SIZES, MixedPicture, picture_mix
from toonface_benchmarks.sweep import Sweep, of_stages
from toonface_benchmarks.sweep_cli import bench_sweep, shares
from toonface_benchmarks.sweep_report import servers_needed, write_report
from toonface_benchmarks.triton_statistics import STAGES, ModelStatistics, StageTime, stage_times
from toonface_contract.errors import ConfigError, ServerError
from toonface_contract.names import FACE_RECOGNITION

# A report of perf_analyzer 2.51 with --verbose-csv, as it wrote it.
REPORT = """Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,\
request/response,response wait
2,10.7265,13,44721,1,741,135811,4256,6,174087,292783,326219,364736,19,185425
"""


def _measurement(value: float, throughput: float, p95: float, kind: LoadKind = "concurrency") -> Measurement:
    return Measurement(Load(kind, value), throughput, 1.0, 2.0, p95, p95 + 1, 0.5, 3.0)


def test_a_report_is_read_in_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(REPORT)
    found = read_report(path, Load("concurrency", 2))
    assert (found.throughput, found.p50, found.p99) == (10.7265, 174.087, 364.736)
    assert found.queue == 0.001
    # An ensemble has no queue; its requests wait in those of its stages.
    waited = of_stages(found, [StageTime("preprocess", 1.5, 20.0), StageTime("face_detection", 30.0, 5.0)])
    assert (waited.queue, waited.compute, waited.p50) == (31.5, 25.0, found.p50)
    assert found.compute == pytest.approx(0.741 + 135.811 + 4.256)


def test_a_report_without_figures_is_told(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(REPORT.splitlines(keepends=True)[0])
    with pytest.raises(ServerError, match="no request was answered"):
        read_report(path, Load("rate", 5))


@pytest.mark.parametrize("compute", ["0", "9223372036854775"])
def test_times_in_the_server_that_cannot_be_are_left_out(tmp_path: Path, compute: str) -> None:
    path = tmp_path / "report.csv"
    path.write_text(REPORT.replace("741,135811,4256", f"0,{compute},0"))
    found = read_report(path, Load("concurrency", 2))
    assert (found.throughput, found.p99, found.queue, found.compute) == (10.7265, 364.736, None, None)
    assert of_stages(found, []).compute is None


def test_every_load_sends_all_inputs_in_turn(tmp_path: Path) -> None:
    binary = tmp_path / "perf_analyzer"
    binary.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit 1\n')
    binary.chmod(0o755)
    with pytest.raises(ServerError, match="perf_analyzer on m at concurrency 4"):
        PerfAnalyzer(binary, "localhost:1").measure("m", tmp_path, Load("concurrency", 4), tmp_path, seconds=1)
    assert "--max-threads 1 " in (tmp_path / "arguments").read_text()


def test_inputs_keep_their_bytes_and_shapes(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_inputs([{"image": b"abc", "scores": array}], tmp_path / "inputs.json")
    [request] = json.loads((tmp_path / "inputs.json").read_text())["data"]
    assert request["image"]["shape"] == [1]
    assert base64.b64decode(request["image"]["content"]["b64"]) == b"\x03\0\0\0abc"
    assert request["scores"]["shape"] == [2, 3]
    assert base64.b64decode(request["scores"]["content"]["b64"]) == array.tobytes()


def test_a_missing_perf_analyzer_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make perf-analyzer"):
        PerfAnalyzer(tmp_path / "perf_analyzer", "localhost:8001")


@pytest.mark.slow
def test_the_mix_is_what_it_says_and_the_same_every_time() -> None:
    mix = list(picture_mix(20, seed=1))
    assert Counter((each.width, each.height) for each in mix) == dict(SIZES)
    assert Counter(each.faces for each in mix) == dict(FACES)
    assert all(Image.open(io.BytesIO(each.encoded)).size == (each.width, each.height) for each in mix[:5])
    assert [each.encoded for each in picture_mix(3, seed=1)] == [each.encoded for each in picture_mix(3, seed=1)]


def test_the_most_within_a_budget() -> None:
    sweep = Sweep("m", 1, [_measurement(1, 5, 50), _measurement(4, 12, 90), _measurement(16, 13, 400)])
    best = sweep.within(100)
    assert best is not None and best.throughput == 12
    assert sweep.within(10) is None
    assert servers_needed(100, 12) == 9


def test_stage_times_are_an_average_of_the_requests_between() -> None:
    models = (*STAGES, FACE_RECOGNITION)
    before = {model: ModelStatistics(10, 1_000_000, 2_000_000) for model in models}
    after = {model: ModelStatistics(14, 9_000_000, 22_000_000) for model in models}
    assert stage_times(before, after) == [StageTime(stage, 2.0, 5.0) for stage in STAGES]
    assert stage_times(before, before) == []
    # Two servers behind one address: the second has counted less.
    assert stage_times(after, before) == []
    mixed = {**after, STAGES[2]: ModelStatistics(9, 500_000, 1_000_000)}
    assert stage_times(before, mixed) == []


def test_the_report_has_tables_plots_and_figures(tmp_path: Path) -> None:
    times = [[StageTime(stage, 1.0, 2.0) for stage in STAGES] for _ in range(2)]
    ensemble = Sweep(FACE_RECOGNITION, 1, [_measurement(1, 20, 60), _measurement(4, 40, 120)], times)
    stage = Sweep("face_embedding", 4, [_measurement(1, 100, 12), _measurement(4, 150, 30)])
    path = write_report([ensemble, stage], tmp_path, about={"machine": "two cores"}, latency_budget_ms=100)
    text = path.read_text()
    assert "machine: two cores" in text
    assert "| concurrency 4 | 40.0 |" in text
    assert "One server: 20.0 pictures a second at concurrency 1: of callers who wait" in text and "| 50 | 3 |" in text
    assert "they need more\nservers than the table says" in text
    assert "## face_embedding, 4 rows a request" in text
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("latency.png", "stages.png"))
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [row["model"] for row in rows] == [FACE_RECOGNITION] * 2 + ["face_embedding"] * 2
    assert json.loads((tmp_path / "sweep.json").read_text())["sweeps"][0]["measurements"][1]["p95"] == 120


def test_a_budget_that_no_load_keeps_is_said(tmp_path: Path) -> None:
    ensemble = Sweep(FACE_RECOGNITION, 1, [_measurement(1, 20, 60)], [[]])
    path = write_report([ensemble], tmp_path, about={}, latency_budget_ms=10)
    assert "None of the loads kept within it: the lowest 95th percentile was 60 ms" in path.read_text()


def test_the_capacity_at_a_rate_is_of_requests_at_random_times(tmp_path: Path) -> None:
    ensemble = Sweep(FACE_RECOGNITION, 1, [_measurement(18, 18.5, 60, "rate")], [[]])
    text = write_report([ensemble], tmp_path, about={}, latency_budget_ms=100).read_text()
    assert "One server: 18.5 pictures a second, which come at random times, 18 a second on average." in text
    assert "closed loop" not in text


def test_a_budget_is_looked_for_at_rates_unless_it_is_told_otherwise() -> None:
    (search,) = (option for option in bench_sweep.params if option.name == "search")
    assert search.default == "rate"


def test_what_is_not_known_has_empty_cells_and_no_bar(tmp_path: Path) -> None:
    times = [StageTime(stage, 1.0, 2.0) for stage in STAGES]
    unknown = of_stages(_measurement(1, 20, 60), [])
    ensemble = Sweep(FACE_RECOGNITION, 1, [unknown, _measurement(4, 40, 120)], [[], times])
    text = write_report([ensemble], tmp_path, about={}).read_text()
    assert "| concurrency 1 | 20.0 | 1.0 | 2.0 | 60.0 | 61.0 |  |  |" in text
    assert (tmp_path / "stages.png").exists()
    first, _ = csv.DictReader((tmp_path / "sweep.csv").open())
    assert (first["queue"], first["compute"]) == ("", "")
    assert json.loads((tmp_path / "sweep.json").read_text())["sweeps"][0]["measurements"][0]["queue"] is None


def test_the_report_tells_the_shares_that_were_drawn() -> None:
    mix = [MixedPicture(b"", 640, 480, 0), MixedPicture(b"", 320, 240, 3), MixedPicture(b"", 640, 480, 3)]
    told = shares([*mix, MixedPicture(b"", 640, 480, 12)])
    assert told == "4 drawn ones; sizes: 320x240 25 %, 640x480 75 %; faces: 0 25 %, 3 50 %, 12 25 %"
