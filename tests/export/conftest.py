"""What the exporter's tests share: copies of the shipped models, and one repository exported from them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_helpers import MODELS, Exported

from toonface_export.evidence import Evidence
from toonface_export.networks import export_detector, export_embedder
from toonface_export.pipeline import Pipeline, read_pipeline
from toonface_export.repository import write_repository


@pytest.fixture(scope="session")
def demo_pipeline() -> Pipeline:
    """The shipped pipeline file, with a small canvas so that the tests stay quick."""
    pipeline = read_pipeline(MODELS / "face_recognition.yaml")
    return pipeline.model_copy(
        update={"serving": pipeline.serving.model_copy(update={"canvas": (256, 320), "pyramid_levels": 2})}
    )


@pytest.fixture(scope="session")
def exported(demo_pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The shipped models, exported once. Tests only read it."""
    path = tmp_path_factory.mktemp("exported") / "repository"
    steps: list[str] = []
    evidence = Evidence(demo_pipeline.options)
    detector = export_detector(demo_pipeline.modules.detection, demo_pipeline.serving, steps.append, evidence)
    embedder = export_embedder(demo_pipeline.modules.recognition, demo_pipeline.serving, steps.append, evidence)
    manifest = write_repository(demo_pipeline, detector, embedder, path, steps.append)
    return Exported(path, demo_pipeline, detector, embedder, manifest, steps)


@pytest.fixture
def detector_folder(tmp_path: Path) -> Path:
    """A copy of the shipped detector, to be spoilt."""
    return Path(shutil.copytree(MODELS / "BlazeFace-FPN-SSH", tmp_path / "detector"))


@pytest.fixture
def embedder_folder(tmp_path: Path) -> Path:
    """A copy of the shipped embedder, to be spoilt."""
    return Path(shutil.copytree(MODELS / "MobileFaceNet", tmp_path / "embedder"))


@pytest.fixture
def pipeline_content() -> dict[str, Any]:
    """The shipped pipeline file's content, with absolute paths."""
    content: dict[str, Any] = yaml.safe_load((MODELS / "face_recognition.yaml").read_text())
    for module in content["SubModules"].values():
        module["model_dir"] = str(MODELS / module["model_dir"])
    return content
