"""What a repository, or one network of it, was made from, with what, and what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from toonface_export.bounds import Bounds, finite
from toonface_export.digests import MANIFEST, with_files, write_json
from toonface_export.engines import engine_records
from toonface_export.figures import figures_as_json
from toonface_export.network_stages import NetworkConfig, detection_batches, embedding_batches
from toonface_export.networks import ExportedDetector, ExportedEmbedder
from toonface_export.pipeline import Pipeline
from toonface_export.serving import Serving
from toonface_export.stages import ModelConfig
from toonface_export.triton_ensemble import Ensemble

# Whose versions decide what comes out of an export.
_TOOLS = ("paddlepaddle", "paddle2onnx", "onnx", "onnxslim", "onnxruntime", "openvino", "nncf")


def describe_network(
    network: ExportedDetector | ExportedEmbedder, serving: Serving, config: NetworkConfig, bounds: Bounds
) -> dict[str, Any]:
    """The manifest of one network. It holds no date, so that exporting again gives the same.

    Args:
        network: the network.
        serving: how it is served.
        config: its Triton configuration.
        bounds: those that its figures were held against.
    """
    form = network.form
    asked = serving.detector_precision if isinstance(network, ExportedDetector) else serving.embedder_precision
    manifest = {
        "toonface": version("toonface"),
        "tools": {tool: found for tool in _TOOLS if (found := _version(tool))},
        "model_name": network.source.name,
        "digest": network.digest,
        "source": dict(network.source.sha256),
        "target": serving.target,
        "backend": serving.backend,
        "precision": form.precision,
        "asked_precision": asked,
        "notes": list(form.notes),
        "inputs": _tensors(config.inputs),
        "outputs": _tensors(config.outputs),
        "max_batch_size": config.max_batch_size,
        "normalisation": asdict(network.normalisation),
        "nodes": len(form.graph.graph.node),
        **form.details,
        "pictures": len(network.reference.names),
        "parity": {precision: figures_as_json(figures) for precision, figures in form.parity.items()},
        "bounds": {precision: finite(bounds[precision], figures) for precision, figures in form.parity.items()},
        "judge": network.reference.judge.as_json(),
    }
    if isinstance(network, ExportedDetector):
        manifest |= {
            "input": network.input.model_dump(),
            "pyramid_levels": network.pyramid_levels,
            "anchors": network.anchors,
            "nms": network.nms.model_dump(),
        }
        batches = detection_batches(serving)
    else:
        manifest |= {"dimension": network.dimension}
        batches = embedding_batches(serving)
    if serving.backend == "tensorrt":
        settings = serving.engine.model_dump(
            mode="json", include={"workspace_mb", "version_compatible", "timing_cache"}
        )
        manifest |= {"engine_settings": {"batches": list(batches), **settings}, "engine": None}
    return manifest


def describe(
    pipeline: Pipeline, detector: dict[str, Any], embedder: dict[str, Any], models: Iterable[ModelConfig]
) -> dict[str, Any]:
    """The manifest of a repository, without what depends on its files.

    Args:
        pipeline: the pipeline file's content.
        detector: the detector's own manifest.
        embedder: the embedder's.
        models: the configurations of all models.
    """
    return {
        "toonface": version("toonface"),
        "embedder": embedder["digest"],
        "dimension": embedder["dimension"],
        "options": pipeline.options.as_dict(),
        # Where pictures lay on this machine says nothing about the repository.
        "serving": pipeline.serving.model_dump(mode="json", exclude={"calibration", "pictures"}),
        "detector": detector,
        "recogniser": embedder,
        "models": {
            model.name: {
                "inputs": _tensors(model.inputs),
                "outputs": _tensors(model.outputs),
                "max_batch_size": 0 if isinstance(model, Ensemble) else model.max_batch_size,
            }
            for model in models
        },
    }


def write_manifest(repository: Path, description: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of a repository that is otherwise complete.

    Returns:
        The manifest: the description; in `engines` what TensorRT's engines need; and in `files` the SHA-256 of every
        other file by its path in the repository.
    """
    manifest = with_files(repository, {**description, "engines": engine_records(repository)})
    write_json(repository / MANIFEST, manifest)
    return manifest


def _tensors(tensors: Iterable[Any]) -> dict[str, Any]:
    return {tensor.name: [tensor.data_type, list(tensor.dims)] for tensor in tensors}


def _version(tool: str) -> str | None:
    try:
        return version(tool)
    except PackageNotFoundError:
        return None
