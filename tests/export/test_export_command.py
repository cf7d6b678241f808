"""The command, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from export_helpers import MODELS

TOONFACE = Path(sys.executable).with_name("toonface")


def _export(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(TOONFACE), "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


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
    pipeline_content |= {"Serving": {"canvas": [64, 64], "pyramid_levels": 1}, "index": "galleries/old"}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(pipeline_content))
    output = tmp_path / "deep" / "repository"
    done = _export(tmp_path / "pipeline.yaml", "--output", output, "--backend", "onnxruntime", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((output / "toonface.json").read_text())
    assert json.loads(done.stdout)["serving"]["backend"] == "onnxruntime"
    assert 'backend: "onnxruntime"' in (output / "face_detection" / "config.pbtxt").read_text()
    assert "index galleries/old is not exported" in done.stderr
    assert "Paddle2ONNX" not in done.stderr
