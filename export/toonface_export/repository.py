"""A deployable model repository from a pipeline file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from toonface_contract.names import FACE_DETECTION, FACE_EMBEDDING
from toonface_export.bounds import BOUNDS, Bounds
from toonface_export.digests import MANIFEST, MODEL_MANIFEST, read_json
from toonface_export.engines import build_engines
from toonface_export.evidence import gather_evidence
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.forms import Progress
from toonface_export.found_faces import FoundFaces
from toonface_export.gpu import INSTEAD, require_gpu
from toonface_export.manifest import describe, write_manifest
from toonface_export.network_folder import write_network
from toonface_export.networks import (
    ExportedDetector,
    ExportedEmbedder,
    export_detector,
    export_embedder,
    read_source,
)
from toonface_export.output import assembled, check_output
from toonface_export.pipeline import Pipeline
from toonface_export.serving import Serving
from toonface_export.stages import Deployment, ModelConfig, repository_models
from toonface_export.triton_config import PythonStage
from toonface_export.triton_ensemble import Ensemble

# The package that holds the stages' model.py, in a checkout and in an installed distribution alike.
_SHELLS = "toonface_model_repository"


def export_repository(
    pipeline: Pipeline,
    output: Path,
    progress: Progress,
    *,
    force: bool = False,
    bounds: Bounds = BOUNDS,
    engine_later: bool = False,
) -> dict[str, Any]:
    """Export both models of a pipeline, and write the repository that serves them.

    Args:
        pipeline: the pipeline file's content.
        output: the repository's folder. May be absent, empty, or an older repository, but not within another one.
        progress: is told of each step.
        force: replace `output` even if it is a folder of something else, or within a repository.
        bounds: of parity.
        engine_later: leave TensorRT's engines to `toonface_export.engines.rebuild`.

    Returns:
        The manifest that was written to toonface.json.

    Raises:
        ExportError: a model cannot be exported or misses its parity bound, `output` is not to be replaced, or there
            is no GPU for an engine.
        ConfigError: the user's pictures cannot be read.
    """
    check_output(output, MANIFEST, force)
    if pipeline.serving.backend == "tensorrt" and not engine_later:
        require_gpu(INSTEAD)
    evidence = gather_evidence(pipeline.serving, pipeline.options, bounds)
    # Both, before the work on either begins.
    detection = read_source(pipeline.modules.detection, DETECTORS, progress)
    recognition = read_source(pipeline.modules.recognition, EMBEDDERS, progress)
    detector = export_detector(detection, pipeline.serving, progress, evidence)
    embedder = export_embedder(
        recognition, pipeline.serving, progress, evidence, FoundFaces(detector, pipeline.options)
    )
    return write_repository(
        pipeline, detector, embedder, output.resolve(), progress, bounds=bounds, engine_later=engine_later
    )


def write_repository(
    pipeline: Pipeline,
    detector: ExportedDetector,
    embedder: ExportedEmbedder,
    output: Path,
    progress: Progress,
    *,
    bounds: Bounds = BOUNDS,
    engine_later: bool = False,
) -> dict[str, Any]:
    """Write a repository in the place of `output`: see `toonface_export.output.assembled`.

    Args:
        pipeline: for options and serving settings.
        detector: the exported detector.
        embedder: the exported embedder.
        output: path without symbolic links of the repository's folder; what stands there is replaced.
        progress: is told of each step.
        bounds: those that the networks were held against.
        engine_later: write no engines.

    Returns:
        The manifest that was written to toonface.json.

    Raises:
        ExportError: the disk is full or cannot be written, or an engine is refused.
    """
    progress("write the repository")
    models = repository_models(
        Deployment(
            detector_input=detector.input,
            anchors=detector.anchors,
            nms=detector.nms,
            dimension=embedder.dimension,
            embedder=embedder.digest,
            options=pipeline.options,
            serving=pipeline.serving,
            detector_precision=detector.form.precision,
            embedder_precision=embedder.form.precision,
        )
    )
    with assembled(output, progress) as repository:
        networks: dict[str, ExportedDetector | ExportedEmbedder] = {FACE_DETECTION: detector, FACE_EMBEDDING: embedder}
        manifests = _write_models(repository, models, networks, pipeline.serving, bounds)
        if pipeline.serving.backend == "tensorrt" and not engine_later:
            build_engines(repository, *require_gpu(INSTEAD), progress)
            manifests = {name: read_json(repository / name / MODEL_MANIFEST) for name in networks}
        return write_manifest(
            repository, describe(pipeline, manifests[FACE_DETECTION], manifests[FACE_EMBEDDING], models)
        )


def _write_models(
    repository: Path,
    models: Sequence[ModelConfig],
    networks: dict[str, ExportedDetector | ExportedEmbedder],
    serving: Serving,
    bounds: Bounds,
) -> dict[str, dict[str, Any]]:
    manifests = {}
    for model in models:
        folder = repository / model.name
        folder.mkdir()
        if not isinstance(model, PythonStage | Ensemble):
            manifests[model.name] = write_network(folder, networks[model.name], model, serving, bounds)
            continue
        (folder / "1").mkdir()  # ensembles too: Triton wants a version's folder, even an empty one
        (folder / "config.pbtxt").write_text(model.config(), encoding="utf-8")
        if isinstance(model, PythonStage):
            with as_file(files(_SHELLS) / model.name / "1" / "model.py") as shell:
                shutil.copyfile(shell, folder / "1" / "model.py")
    return manifests
