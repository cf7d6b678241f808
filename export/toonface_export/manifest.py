"""toonface.json: what a repository was made from, with what, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toonface_export.networks import ExportedDetector, ExportedEmbedder
from toonface_export.paddle_model import PaddleModel, sha256_of
from toonface_export.pipeline import Pipeline
from toonface_export.stages import ModelConfig
from toonface_export.triton_config import Ensemble

MANIFEST = "toonface.json"

# Whose versions decide what comes out of an export.
_TOOLS = ("paddlepaddle", "paddle2onnx", "onnx", "onnxslim", "onnxruntime")


def describe(
    pipeline: Pipeline, detector: ExportedDetector, embedder: ExportedEmbedder, models: Iterable[ModelConfig]
) -> dict[str, Any]:
    """The manifest without its `files`. It holds no date, so that exporting again gives the same."""
    return {
        "toonface": version("toonface"),
        "tools": {tool: version(tool) for tool in _TOOLS},
        "embedder": embedder.source.digest,
        "dimension": embedder.dimension,
        "options": pipeline.options.as_dict(),
        "serving": pipeline.serving.model_dump(mode="json"),
        "detector": {
            **_source(detector.source),
            "input": detector.input.model_dump(),
            "normalisation": asdict(detector.normalisation),
            "pyramid_levels": detector.pyramid_levels,
            "anchors": detector.anchors,
            "nms": detector.nms.model_dump(),
            "parity": detector.parity,
        },
        "recogniser": {
            **_source(embedder.source),
            "normalisation": asdict(embedder.normalisation),
            "dimension": embedder.dimension,
            "parity": embedder.parity,
        },
        "models": {
            model.name: {
                "inputs": {tensor.name: [tensor.data_type, list(tensor.dims)] for tensor in model.inputs},
                "outputs": {tensor.name: [tensor.data_type, list(tensor.dims)] for tensor in model.outputs},
                "max_batch_size": 0 if isinstance(model, Ensemble) else model.max_batch_size,
            }
            for model in models
        },
    }


def write_manifest(repository: Path, description: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of a repository that is otherwise complete.

    Returns:
        The manifest: the description, and in `files` the SHA-256 of every other file by its path in the repository.
    """
    files = {
        path.relative_to(repository).as_posix(): sha256_of(path)
        for path in sorted(repository.rglob("*"))
        if path.is_file()
    }
    manifest = {**description, "files": files}
    (repository / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _source(model: PaddleModel) -> dict[str, Any]:
    return {"model_name": model.name, "source": dict(model.sha256)}
