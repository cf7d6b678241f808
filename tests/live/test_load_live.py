"""The benchmarks of long and of excessive load, for a few seconds: what they report, not how fast it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psutil
from live_server import TOONFACE, Server


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
    command = [TOONFACE, "bench", "soak", "--repository", repository, "--minutes", "0.1", "--rate", "3", "--json"]
    command += ["--writes", "20", "--timeout", "60", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    report = json.loads(done.stdout)
    assert report["failed"] == {} == report["write_failed"]
    assert report["answered"] == report["requests"] > 0
    assert report["written"] > 0
    names = {name.split(" ")[0] for name in report["memory"]["megabytes"]}
    assert names > {"tritonserver", "preprocess", "face_detection", "crop_align", "face_embedding", "gallery_search"}
    assert all(min(values) > 1 for values in report["memory"]["megabytes"].values())
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "soak.json", "soak.png"}
