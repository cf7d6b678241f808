"""A deployable model repository from a pipeline file."""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from toonface_contract.errors import ExportError
from toonface_contract.names import FACE_DETECTION, FACE_EMBEDDING
from toonface_export.manifest import MANIFEST, describe, write_manifest
from toonface_export.networks import ExportedDetector, ExportedEmbedder, Progress, export_detector, export_embedder
from toonface_export.pipeline import Pipeline
from toonface_export.stages import Deployment, ModelConfig, repository_models
from toonface_export.swap import replace_folder
from toonface_export.triton_config import MODEL_FILENAME, PythonStage

# The package that holds the stages' model.py, in a checkout and in an installed distribution alike.
_SHELLS = "toonface_model_repository"


def export_repository(pipeline: Pipeline, output: Path, progress: Progress, *, force: bool = False) -> dict[str, Any]:
    """Export both models of a pipeline, and write the repository that serves them.

    Args:
        pipeline: the pipeline file's content.
        output: the repository's folder. May be absent, empty, or an older repository.
        progress: is told of each step.
        force: replace `output` even if it is a folder of something else.

    Returns:
        The manifest that was written to toonface.json.

    Raises:
        ExportError: a model cannot be exported or misses its parity bound, or `output` is not to be replaced.
    """
    _check_output(output, force)
    detector = export_detector(pipeline.modules.detection, pipeline.serving, progress)
    embedder = export_embedder(pipeline.modules.recognition, progress)
    return write_repository(pipeline, detector, embedder, output.resolve(), progress)


def write_repository(
    pipeline: Pipeline, detector: ExportedDetector, embedder: ExportedEmbedder, output: Path, progress: Progress
) -> dict[str, Any]:
    """Write a repository in the place of `output`.

    It is put together in a folder beside `output` and takes its place at the end: writing that fails or is interrupted
    leaves an older repository as it was.

    Args:
        pipeline: for options and serving settings.
        detector: the exported detector.
        embedder: the exported embedder.
        output: path without symbolic links of the repository's folder; what stands there is replaced.
        progress: is told of each step.

    Returns:
        The manifest that was written to toonface.json.
    """
    progress("write the repository")
    models = repository_models(
        Deployment(
            detector_input=detector.input,
            anchors=detector.anchors,
            nms=detector.nms,
            dimension=embedder.dimension,
            embedder=embedder.source.digest,
            options=pipeline.options,
            serving=pipeline.serving,
        )
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        repository = scratch / "repository"
        _write_models(repository, models, detector, embedder)
        manifest = write_manifest(repository, describe(pipeline, detector, embedder, models))
        progress(f"put it in its place, {output}")
        replace_folder(repository, output)
    finally:
        shutil.rmtree(scratch)
    return manifest


def _check_output(output: Path, force: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise ExportError(f"output {output} is not a folder; name one that is, or that is not there yet")
    if not force and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise ExportError(
            f"output {output} is a folder that `toonface export` did not write (it holds no {MANIFEST}); "
            "name another, or give --force to replace it with all that is in it"
        )


def _write_models(
    repository: Path, models: tuple[ModelConfig, ...], detector: ExportedDetector, embedder: ExportedEmbedder
) -> None:
    graphs = {FACE_DETECTION: detector.graph, FACE_EMBEDDING: embedder.graph}
    for model in models:
        version = repository / model.name / "1"
        version.mkdir(parents=True)  # ensembles too: Triton wants a version's folder, even an empty one
        (version.parent / "config.pbtxt").write_text(model.config(), encoding="utf-8")
        if isinstance(model, PythonStage):
            with as_file(files(_SHELLS) / model.name / "1" / "model.py") as shell:
                shutil.copyfile(shell, version / "model.py")
        elif model.name in graphs:
            (version / MODEL_FILENAME).write_bytes(graphs[model.name].SerializeToString(deterministic=True))
