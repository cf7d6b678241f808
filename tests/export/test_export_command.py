"""The command, as a user runs it."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_helpers import MODELS, Exported

from toonface_export.paddle_model import LEGACY_PROGRAM, PROGRAM

DEMO = MODELS.parent / "demo"
TOONFACE = Path(sys.executable).with_name("toonface")


def _export(*arguments: object, environment: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    command = [str(TOONFACE), "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_help_teaches_with_an_example() -> None:
    done = _export("--help")
    assert done.returncode == 0
    assert "toonface export models/face_recognition.yaml --output build/repository" in done.stdout


def test_a_missing_option_is_a_usage_error() -> None:
    done = _export(MODELS / "face_recognition.yaml")
    assert done.returncode == 2
    assert "--output" in done.stderr


def test_a_wrong_pipeline_file_fails_in_one_line(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump({**pipeline_content, "Servng": {}}))
    done = _export(tmp_path / "pipeline.yaml", "--output", tmp_path / "repository")
    assert done.returncode == 1
    assert "Servng is not known (known here are pipeline_name" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "repository").exists()


def test_json_is_all_there_is_on_standard_output(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content |= {
        "Serving": {"canvas": [64, 64], "pyramid_levels": 1},
        "index": "galleries/old",
        "use_hpip": False,
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(pipeline_content))
    output = tmp_path / "deep" / "repository"
    done = _export(tmp_path / "pipeline.yaml", "--output", output, "--backend", "onnxruntime", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((output / "toonface.json").read_text())
    assert json.loads(done.stdout)["serving"]["backend"] == "onnxruntime"
    assert 'backend: "onnxruntime"' in (output / "face_detection" / "config.pbtxt").read_text()
    assert "index galleries/old is not exported" in done.stderr
    assert (
        f"note: keys of {tmp_path / 'pipeline.yaml'} that are for PaddleX alone, and not heeded: use_hpip\n"
        in done.stderr
    )
    assert "Paddle2ONNX" not in done.stderr


def test_print_config_is_a_pipeline_file_with_comments() -> None:
    done = _export("--print-config")
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["Serving"]["precision"] == "auto"
    assert done.stdout.startswith("# A pipeline file.")


def test_options_may_stand_before_the_file(tmp_path: Path) -> None:
    done = _export("--output", tmp_path / "repository", tmp_path / "nothing.yaml")
    assert done.returncode == 2
    assert "nothing.yaml' does not exist" in done.stderr


def test_without_a_gpu_the_target_gpu_says_what_to_run_instead(tmp_path: Path) -> None:
    done = _export(MODELS / "face_recognition.yaml", "--target", "gpu", "--output", tmp_path / "repository")
    assert done.returncode == 1
    assert "there is no NVIDIA GPU here" in done.stderr
    assert "add --engine-later" in done.stderr
    assert "`toonface export engine`" in done.stderr
    assert "--backend onnxruntime" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bound_that_is_not_understood_fails_before_anything_is_done(tmp_path: Path) -> None:
    done = _export(MODELS / "face_recognition.yaml", "--output", tmp_path / "repository", "--bound", "speed=3")
    assert done.returncode == 1
    assert "bound 'speed=3' is not understood" in done.stderr


@pytest.mark.parametrize("place", [("model", MODELS / "MobileFaceNet"), (MODELS / "face_recognition.yaml",)])
def test_an_unknown_setting_fails_before_anything_is_done(tmp_path: Path, place: tuple[object, ...]) -> None:
    done = _export(*place, "--output", tmp_path / "output", "-o", "speed=3")
    assert done.returncode == 1
    assert "error: invalid_config: speed is not known (known here are target" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_model_becomes_a_triton_model_that_inspect_shows(tmp_path: Path) -> None:
    output = tmp_path / "my_embedder"
    options = ("--backend", "onnxruntime", "-o", "embedding_batch=32", "-o", "threads=1", "--json")
    done = _export("model", MODELS / "MobileFaceNet", "--output", output, *options)
    assert done.returncode == 0, done.stderr
    assert "max_batch_size: 32" in (output / "config.pbtxt").read_text()
    assert {path.name for path in output.iterdir()} == {"1", "config.pbtxt", "model.json"}
    assert 'name: "my_embedder"' in (output / "config.pbtxt").read_text()
    manifest = json.loads(done.stdout)
    assert manifest == json.loads((output / "model.json").read_text())
    assert (manifest["model_name"], manifest["precision"]) == ("MobileFaceNet", "f32")
    shown = _export("inspect", output)
    assert shown.returncode == 0
    assert "MobileFaceNet" in shown.stdout
    assert manifest["digest"][:30] in shown.stdout
    assert "cosine_distance" in shown.stdout
    assert json.loads(_export("inspect", output, "--json").stdout) == manifest
    built = _export("engine", output)
    assert built.returncode == 1
    assert f"{output} has no model for TensorRT; export it with --target gpu" in built.stderr
    nothing = _export("engine", tmp_path)
    assert nothing.returncode == 1
    assert "holds no toonface.json; name a folder that `toonface export` wrote" in nothing.stderr


def test_the_same_bytes_come_from_another_process(exported: Exported, tmp_path: Path) -> None:
    output = tmp_path / "face_embedding"
    threshold = exported.pipeline.rec_threshold
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    options = ("--output", output, "--det-threshold", exported.pipeline.det_threshold, "--rec-threshold", threshold)
    done = _export("model", MODELS / "MobileFaceNet", *options, environment={"PYTHONHASHSEED": seed})
    assert done.returncode == 0, done.stderr
    assert _files(output) == _files(exported.path / "face_embedding")


@pytest.mark.slow
def test_what_an_engine_is_built_from_is_the_same_from_another_process(
    tmp_path: Path, pipeline_content: dict[str, Any]
) -> None:
    pipeline_content |= {"Serving": {"canvas": [128, 128], "pyramid_levels": 1}}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(pipeline_content))
    for seed in ("1", "2"):
        options = ("--target", "gpu", "--engine-later", "--output", tmp_path / seed)
        done = _export(tmp_path / "pipeline.yaml", *options, environment={"PYTHONHASHSEED": seed})
        assert done.returncode == 0, done.stderr
    assert {"source.onnx", "reference.npz"} <= {Path(name).name for name in _files(tmp_path / "1")}
    assert _files(tmp_path / "1") == _files(tmp_path / "2")


def test_an_export_that_is_told_to_end_leaves_nothing_half_made(tmp_path: Path) -> None:
    scratch, output = tmp_path / "scratch", tmp_path / "embedder"
    scratch.mkdir()
    output.mkdir()
    (output / "model.json").write_text("{}")
    command = [str(TOONFACE), "export", "model", str(MODELS / "MobileFaceNet"), "--output", str(output)]
    process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(scratch.glob("toonface-*")):  # Paddle is at work
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(scratch.glob("toonface-*")) == []
    assert _files(output) == {"model.json": b"{}"}
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "embedder"}


_WRITE = """
import sys, time
from pathlib import Path
from toonface_export.cli_support import narrated
from toonface_export.output import assembled

with narrated() as progress, assembled(Path(sys.argv[1]), progress) as folder:
    (folder / "toonface.json").write_text("new")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_repository_that_is_being_written_when_it_is_told_to_end_leaves_the_old_one(tmp_path: Path) -> None:
    output = tmp_path / "repository"
    output.mkdir()
    (output / "toonface.json").write_text("old")
    process = subprocess.Popen([sys.executable, "-c", _WRITE, str(output)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert _files(output) == {"toonface.json": b"old"}
    assert list(tmp_path.iterdir()) == [output]


def _export_without_room(most: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Export where no file may be larger than `most` bytes."""
    return subprocess.run(
        [str(TOONFACE), "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )


_NO_ROOM_AT_ALL = (
    r"a temporary file cannot be written \(.*No usable temporary directory found in \[.*\]\); make room in one of "
    "these folders, or let TMPDIR name"
)


@pytest.mark.parametrize(
    ("most", "message"),
    [
        (0, _NO_ROOM_AT_ALL),
        (
            100_000,
            r"a temporary file cannot be written \(.*File too large\); make room in .*, or let TMPDIR name",
        ),
        (1_000_000, r"Paddle failed on .*MobileFaceNet \(to_onnx, exit code 1\): .*File too large$"),
    ],
)
def test_a_disk_without_room_for_temporary_files_is_told(tmp_path: Path, most: int, message: str) -> None:
    done = _export_without_room(most, "model", MODELS / "MobileFaceNet", "--output", tmp_path / "embedder")
    assert done.returncode == 1
    assert re.search(message, done.stderr.strip()), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_program_of_paddle_2_without_room_for_its_translation_is_told(tmp_path: Path, embedder_folder: Path) -> None:
    (embedder_folder / PROGRAM).rename(embedder_folder / LEGACY_PROGRAM)
    done = _export_without_room(0, "model", embedder_folder, "--output", tmp_path / "exported")
    assert done.returncode == 1
    assert re.search(_NO_ROOM_AT_ALL, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_inspect_of_a_folder_of_something_else(tmp_path: Path) -> None:
    done = _export("inspect", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} holds no toonface.json" in done.stderr


def test_one_model_for_a_gpu_needs_one_too(tmp_path: Path) -> None:
    done = _export("model", MODELS / "MobileFaceNet", "--target", "gpu", "--output", tmp_path / "embedder")
    assert done.returncode == 1
    assert "add --engine-later" in done.stderr
    assert "--backend onnxruntime" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_model_waits_for_its_engine(tmp_path: Path) -> None:
    output = tmp_path / "embedder"
    options = ("--target", "gpu", "--engine-later", "--output", output, "--json")
    done = _export("model", MODELS / "MobileFaceNet", *options)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert (manifest["precision"], manifest["engine"]) == ("f16", None)
    assert f"the engine is yet to be built, where it serves: toonface export engine {output}" in done.stderr
    assert {path.name for path in output.iterdir()} == {
        "1",
        "config.pbtxt",
        "model.json",
        "source.onnx",
        "reference.npz",
    }
    assert list((output / "1").iterdir()) == []
    built = _export("engine", output)
    assert built.returncode == 1
    assert f"Run `toonface export engine {output}` in the container that serves" in built.stderr
    assert json.loads((output / "model.json").read_text()) == manifest
    (tmp_path / "toonface.json").write_text("{}")
    part = _export("engine", output)
    assert part.returncode == 1
    assert f"{output} is a part of the repository {tmp_path}, whose manifest names it; name that" in part.stderr
    for place, message in ((output, f"is in the repository {tmp_path}"), (tmp_path, "is a whole repository")):
        refused = _export("model", MODELS / "MobileFaceNet", "--output", place)
        assert refused.returncode == 1
        assert f"output {place} {message}" in refused.stderr
    (tmp_path / "toonface.json").unlink()
    refused = _export(MODELS / "face_recognition.yaml", "--output", output)
    assert refused.returncode == 1
    assert f"output {output} is one exported model (it holds model.json), not a whole repository" in refused.stderr
    assert json.loads((output / "model.json").read_text()) == manifest


@pytest.mark.slow
def test_a_gpu_repository_waits_for_its_engines(tmp_path: Path, pipeline_content: dict[str, Any]) -> None:
    pipeline_content |= {"Serving": {"canvas": [128, 128], "pyramid_levels": 1}}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(pipeline_content))
    output = tmp_path / "repository"
    done = _export(tmp_path / "pipeline.yaml", "--output", output, "--target", "gpu", "--engine-later", "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["engines"] == {"face_detection": None, "face_embedding": None}
    assert manifest["detector"]["precision"] == manifest["recogniser"]["precision"] == "f16"
    assert "the engines are yet to be built" in done.stderr
    for model in ("face_detection", "face_embedding"):
        assert {path.name for path in (output / model).iterdir()} >= {"source.onnx", "reference.npz", "model.json"}
    before = (output / "toonface.json").read_bytes()
    built = _export("engine", output)
    assert built.returncode == 1
    assert f"Run `toonface export engine {output}` in the container that serves" in built.stderr
    assert (output / "toonface.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "precision", "files"),
    [
        (("--precision", "int8", "--calibration", DEMO / "gallery"), "int8", {"model.bin", "model.xml"}),
        (("--backend", "onnxruntime"), "f32", {"model.onnx"}),
    ],
)
def test_other_forms_are_compared_on_pictures_of_ones_own_and_served(
    tmp_path: Path, pipeline_content: dict[str, Any], options: tuple[object, ...], precision: str, files: set[str]
) -> None:
    pipeline_content |= {"Serving": {"detection_precision": "f32", "canvas": [320, 320]}}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(pipeline_content))
    output = tmp_path / "repository"
    pictures = DEMO / "pictures"
    done = _export(tmp_path / "pipeline.yaml", "--output", output, *options, "--pictures", pictures, "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert (manifest["detector"]["precision"], manifest["recogniser"]["precision"]) == ("f32", precision)
    assert {path.name for path in (output / "face_embedding" / "1").iterdir()} == files
    assert manifest["detector"]["parity"]["f32"]["faces"]["picture"].endswith(".jpg")
    ready = tmp_path / "ready.json"
    command = [str(TOONFACE), "serve", "--repository", str(output), "--ready-file", str(ready)]
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    server = subprocess.Popen([*command, *ports], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert server.poll() is None, server.stderr and server.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        address = f"127.0.0.1:{json.loads(ready.read_text())['grpc_port']}"
        picture = pictures / "friends.jpg"
        command = [str(TOONFACE), "recognize", str(picture), "--address", address, "--json"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, answer.stderr
        assert "Unknown" in answer.stdout
    finally:
        server.terminate()
        server.wait(60)
