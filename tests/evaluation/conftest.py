"""What the tests of evaluation share: small datasets of the demo's pictures, and the demo models exported once."""

from __future__ import annotations

from pathlib import Path

import evaluation_sets
import pytest
import yaml
from evaluation_sets import MODELS

from toonface_export.pipeline import read_pipeline
from toonface_export.repository import export_repository


@pytest.fixture(scope="session")
def detection_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation_sets.detection_set(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def feature_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation_sets.feature_set(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def pipeline_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo models' pipeline, with a small canvas so that exporting stays quick."""
    content = yaml.safe_load((MODELS / "face_recognition.yaml").read_text())
    for module in content["SubModules"].values():
        module["model_dir"] = str(MODELS / module["model_dir"])
    content["Serving"] = {"canvas": [384, 384], "pyramid_levels": 2}
    path = tmp_path_factory.mktemp("pipeline") / "face_recognition.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def repository(pipeline_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "repository"
    export_repository(read_pipeline(pipeline_file), folder, lambda step: None)
    return folder
