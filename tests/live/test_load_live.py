"""The benchmarks of a server, for a few seconds each: what they report, not how fast it is."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from live_server import CHECKOUT, TOONFACE, Server

from toonface_benchmarks.staged_client import StagedClient
from toonface_benchmarks.triton_statistics import STAGES
from toonface_contract.names import FACE_RECOGNITION

PERF_ANALYZER = CHECKOUT / "build" / "perf_analyzer" / "perf_analyzer"
needs_perf_analyzer = pytest.mark.skipif(not PERF_ANALYZER.exists(), reason="`make perf-analyzer` was not run")


def test_an_overload_answers_or_refuses_every_request(server: Server, characters: str, tmp_path: Path) -> None:
    output = tmp_path / "overload.json"
    command = [TOONFACE, "bench", "overload", "--address", server.grpc, "--gallery", characters, "--json"]
    command += ["--seconds", "3", "--timeout", "60", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    report = json.loads(done.stdout)
    assert report["failed"] == {}
    assert report["answered"] > 0
    assert report["answered"] + report["refused"] == len(json.loads(output.read_text())["requests"])
    assert done.returncode == bool(report["faults"]), done.stderr


def test_decoding_gives_way_to_what_has_been_decoded(server: Server) -> None:
    """Or an overload is decoded only to be refused behind it; `toonface bench overload` shows the difference."""

    def niceness(model: str) -> set[int]:
        return {psutil.Process(stage.process.pid).nice() for stage in server.stages(model)}

    (decoding,) = niceness("preprocess")
    assert all(decoding > max(niceness(model)) for model in ("face_detection", "crop_align", "face_embedding"))


def test_a_gallery_that_is_not_there_ends_an_overload_before_it_begins(server: Server) -> None:
    command = [TOONFACE, "bench", "overload", "--address", server.grpc, "--gallery", "nowhere", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "gallery_not_found" in done.stderr and "Traceback" not in done.stderr


def test_a_soak_searches_and_writes_and_watches_every_process(repository: Path, tmp_path: Path) -> None:
    command = [TOONFACE, "bench", "soak", "--repository", repository, "--minutes", "0.1", "--share", "0.2", "--json"]
    command += ["--writes", "20", "--timeout", "60", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    report = json.loads(done.stdout)
    assert report["failed"] == {} == report["write_failed"]
    assert report["answered"] == report["requests"] > 0
    (pace,) = report["paces"]
    assert pace["rate"] == pytest.approx(0.2 * pace["capacity_per_second"])
    assert report["measuring_answered"] > 0 and report["measuring_failed"] == {}
    assert report["written"] > 0
    names = {name.split(" ")[0] for name in report["memory"]["megabytes"]}
    assert names > {"tritonserver", "preprocess", "face_detection", "crop_align", "face_embedding", "gallery_search"}
    assert all(min(values) > 1 for values in report["memory"]["megabytes"].values())
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "soak.json", "soak.png"}


def test_a_soak_whose_server_ends_has_its_report_all_the_same(repository: Path, tmp_path: Path) -> None:
    command = [TOONFACE, "bench", "soak", "--repository", repository, "--minutes", "10", "--rate", "5", "--json"]
    command += ["--timeout", "5", "--output", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as soak:
        assert soak.stdout is not None and soak.stderr is not None
        assert any("requests a second for" in line for line in soak.stderr)
        time.sleep(4)  # two samples of the memory, and some answers
        below = psutil.Process(soak.pid).children(recursive=True)
        (triton,) = (each for each in below if each.name() == "tritonserver")
        triton.kill()
        report = json.loads(soak.stdout.read())
    assert soak.returncode == 1
    assert report["faults"][0].endswith("the server ended: tritonserver has ended")
    assert 0 < report["answered"] <= report["requests"] < 1000
    assert report["seconds"] < 300
    assert "the server ended" in (tmp_path / "report.md").read_text()


def test_the_ensemble_is_held_against_its_functions_in_one_process(repository: Path) -> None:
    command = [TOONFACE, "bench", "ensemble", "--repository", repository, "--rounds", "2", "--seconds", "0.5", "--json"]
    done = subprocess.run([*command, "--concurrency", "2"], capture_output=True, text=True, check=True, timeout=120)
    report = json.loads(done.stdout)
    assert [each["stage"] for each in report["stages"]] == list(STAGES)
    assert all(each["compute_ms"] > 0 for each in report["stages"]) and report["request_ms"] > 0
    (comparison,) = report["comparisons"]
    low, high = comparison["ratio_range"]
    assert 0 < low <= comparison["ratio"] <= high
    assert report["best_ceiling_per_second"] == comparison["ceiling_per_second"] > 0


@pytest.mark.slow
def test_a_start_is_timed_and_every_stage_repaired(repository: Path) -> None:
    command = [TOONFACE, "bench", "startup", "--repository", repository, "--seconds", "1", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert set(report["repair_seconds"]) > set(STAGES)
    assert 0 < report["ready_seconds"] <= report["first_answer_seconds"]
    assert 0 < report["idle_mb"] <= report["peak_mb"]


def test_a_server_tells_what_each_of_its_stages_gets(server: Server, characters: str) -> None:
    client = StagedClient(server.grpc, characters)
    picture = sorted((CHECKOUT / "demo" / "pictures").iterdir())[0].read_bytes()
    given, answer = client.stage_inputs(picture), client.recognize(picture)
    client.close()
    assert tuple(given) == STAGES
    assert given["preprocess"]["image"].item() == picture
    height, width = answer["image_size"]
    assert given["crop_align"]["pixels"].shape == (height, width, 3)
    assert len(given["face_embedding"]["faces"]) == len(given["gallery_search"]["embedding"]) == len(answer["label"])


@needs_perf_analyzer
@pytest.mark.slow
def test_a_running_server_is_swept_without_its_repository(server: Server, characters: str, tmp_path: Path) -> None:
    command = [TOONFACE, "bench", "sweep", "--address", server.grpc, "--gallery", characters, "--json"]
    command += ["--repository", tmp_path / "none", "--count", "1", "--seconds", "0.6", "--concurrency", "1"]
    done = subprocess.run([*command, "--output", tmp_path], capture_output=True, text=True, check=True, timeout=300)
    sweeps = json.loads(done.stdout)
    assert [each["model"] for each in sweeps] == [FACE_RECOGNITION, *STAGES]
    assert all(each["measurements"][0]["throughput"] > 0 for each in sweeps)


@needs_perf_analyzer
@pytest.mark.slow
@pytest.mark.parametrize("budget", [[], ["--latency-budget", "100000"]])
def test_a_sweep_measures_the_ensemble_and_each_stage(repository: Path, tmp_path: Path, budget: list[str]) -> None:
    command = [TOONFACE, "bench", "sweep", "--repository", repository, "--count", "2", "--seconds", "0.6", "--json"]
    command += ["--concurrency", "2", "--output", tmp_path, *budget]
    sweeps = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert [each["model"] for each in sweeps] == [FACE_RECOGNITION, *STAGES]
    (whole,) = sweeps[0]["measurements"]
    assert whole["queue"] == pytest.approx(sum(each["queue"] for each in sweeps[0]["stages"][0]))
    assert all(each["measurements"][0]["throughput"] > 0 for each in sweeps)
    assert ("Capacity" in (tmp_path / "report.md").read_text()) == bool(budget)
