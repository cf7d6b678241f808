from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from toonface_benchmarks.common_ground import Ground
from toonface_benchmarks.compare import CompareReport
from toonface_benchmarks.compare_report import MENDS, markdown
from toonface_benchmarks.contenders import PIPELINE, SERVER, STAGES, TOONFACE
from toonface_benchmarks.load import LoadResult
from toonface_benchmarks.machine import CPU_INFO, processor, this_machine
from toonface_benchmarks.paddlex_environment import pinned, requirements
from toonface_benchmarks.paddlex_process import write_config
from toonface_benchmarks.turns import times, turns
from toonface_contract.errors import ConfigError
from toonface_export.pipeline import Pipeline, read_pipeline
from toonface_server.openvino_network import inference_precision

ROOT = Path(__file__).resolve().parents[2]


def _pipeline() -> Pipeline:
    return read_pipeline(ROOT / "models" / "face_recognition.yaml")


def _report() -> CompareReport:
    fast, slow = LoadResult(1, (0.1,) * 10, 1.0), LoadResult(1, (0.5,) * 2, 1.0)
    return CompareReport(
        runs={1: {TOONFACE: [fast, fast], PIPELINE: [slow, LoadResult(1, (0.2,) * 5, 1.0)]}},
        enrolments={TOONFACE: [1.0, 2.0], PIPELINE: [3.0, 4.0]},
        faces={TOONFACE: [1, 2], PIPELINE: [1, 1]},
        enrolled=12,
    )


def test_ratios_are_of_the_same_round() -> None:
    assert times([10, 20, 90], [5, 5, 30]) == {"toonface_times": 3, "toonface_times_range": [2, 4]}
    rows = {row["contender"]: row for row in _report().as_dict()["loads"]}
    assert rows[TOONFACE]["toonface_times"] == 1
    assert rows[PIPELINE]["toonface_times_range"] == [2, 5]
    assert (rows[PIPELINE]["per_second"], rows[PIPELINE]["per_second_range"]) == (3.5, [2, 5])


def test_enrolment_is_in_pictures_a_second() -> None:
    mine, theirs = _report().as_dict()["enrolments"]
    assert (mine["per_second"], theirs["per_second"]) == (9, 3.5)
    assert theirs["toonface_times_range"] == [2, 3]


def test_each_round_is_kept() -> None:
    report = _report().as_dict()
    _, theirs = report["loads"]
    one, other = theirs["rounds"]
    assert one == {"requests": 2, "per_second": 2, "p50_ms": 500, "p95_ms": 500, "p99_ms": 500}
    assert (other["requests"], other["p99_ms"]) == (5, 200)
    assert report["enrolments"][1]["rounds"] == [4, 3]


def test_another_begins_in_each_round() -> None:
    order: list[str] = []

    def work(name: str) -> Callable[[], int]:
        return lambda: order.append(name) or len(order)

    results = turns({name: work(name) for name in "abc"}, 2, lambda text: None)
    assert order == ["a", "b", "c", "b", "c", "a"]
    assert results == {"a": [1, 6], "b": [2, 4], "c": [3, 5]}


def test_the_report_says_what_was_mended_and_who_found_what() -> None:
    text = markdown(_report().as_dict(), {"command": "toonface bench compare"})
    assert all(mend in text for mend in MENDS)
    # Of seven requests two took 500 ms, the others 200: over both rounds.
    assert "| 1 | PaddleX in Python | 7 | 3.5 (2.0 to 5.0) | 200 | 500 | 3.50 (2.00 to 5.00) |" in text
    assert "| PaddleX in Python | 3.5 (3.0 to 4.0) | 2.50 (2.00 to 3.00) |" in text
    assert "| toonface | 1.50 (1, 2) |" in text


def test_every_package_of_paddlex_is_pinned() -> None:
    lines = [line for line in requirements().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines)
    assert pinned()["paddlex"] == "3.7.2"


def test_paddlex_gets_the_same_models_and_thresholds(tmp_path: Path) -> None:
    pipeline = _pipeline()
    write_config(pipeline, tmp_path / "paddlex.yaml")
    content = yaml.safe_load((tmp_path / "paddlex.yaml").read_text())
    assert "Serving" not in content
    assert content["det_threshold"] == pipeline.det_threshold
    detection = content["SubModules"]["Detection"]
    assert (detection["model_name"], detection["module_name"]) == ("BlazeFace-FPN-SSH", "face_detection")
    assert (Path(detection["model_dir"]) / "inference.yml").is_file()
    assert "engine_config" not in content
    write_config(pipeline, tmp_path / "paddlex.yaml", bf16=True)
    assert yaml.safe_load((tmp_path / "paddlex.yaml").read_text()) == content | {
        "engine_config": {"run_mode": "mkldnn_bf16"}
    }


def test_a_model_without_a_folder_is_refused(tmp_path: Path) -> None:
    modules = _pipeline().modules
    official = modules.model_copy(update={"detection": modules.detection.model_copy(update={"model_dir": None})})
    with pytest.raises(ConfigError, match="Detection.model_dir is null"):
        write_config(_pipeline().model_copy(update={"modules": official}), tmp_path / "paddlex.yaml")


def test_pictures_are_laid_on_the_canvas_for_equal_looks_only() -> None:
    placed = {"height": 64, "width": 96, "keep_ratio": True, "interpolation": "area"}
    file = io.BytesIO()
    Image.fromarray(np.full((200, 100, 3), 7, np.uint8)).save(file, "PNG")
    picture = file.getvalue()
    for equal, keep_ratio, laid in ((True, True, True), (False, True, False), (True, False, False)):
        manifest = {"detector": {"input": {**placed, "keep_ratio": keep_ratio}}}
        [given] = Ground(_pipeline(), Path(), manifest, equal=equal, trained=True).pictures([picture])
        assert (given != picture) == laid
        if laid:
            assert Image.open(io.BytesIO(given)).size == (96, 64)


def test_the_precision_that_is_computed_in_is_told() -> None:
    parts = {
        "detector": {"model_name": "D", "backend": "openvino", "precision": "auto"},
        "recogniser": {"model_name": "R", "backend": "onnxruntime", "precision": "auto"},
    }
    auto = inference_precision("auto")
    assert Ground(_pipeline(), Path(), parts, equal=True, trained=True).computed() == (
        f"D by openvino in {auto}, R by onnxruntime in f32"
    )
    parts["detector"]["precision"] = "int8"
    assert "D by openvino in int8" in Ground(_pipeline(), Path(), parts, equal=True, trained=True).computed()


def test_a_report_names_the_processor(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) @ 2.50GHz\nmodel name\t: other\n")
    assert processor(info) == "Intel(R) Xeon(R) @ 2.50GHz"
    info.write_text("processor\t: 0\n")
    assert processor(info) == processor(tmp_path / "none") == platform.machine()
    assert this_machine().startswith(processor(CPU_INFO))


@pytest.mark.slow
def test_all_four_find_the_same_faces(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("toonface"), "bench", "compare", "--json"]
    options = ["--precision", "f32", "--rounds", "1", "--seconds", "1", "--concurrency", "2"]
    done = subprocess.run([*command, *options, "--cache", ROOT / "build"], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    found = report["faces"]
    assert sorted(found) == sorted((TOONFACE, PIPELINE, SERVER, STAGES))
    assert sum(found[TOONFACE]) > 10
    assert all(faces == found[TOONFACE] for faces in found.values())
    assert all(row["per_second"] > 0 for row in (*report["loads"], *report["enrolments"]))
