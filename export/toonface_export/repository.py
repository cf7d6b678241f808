"""A deployable model repository from a pipeline file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from toonface_contract.names import FACE_DETECTION, FACE_EMBEDDING
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.faces import find_faces
from toonface_export.bounds import BOUNDS, Bounds
from toonface_export.digests import MODEL_MANIFEST, read_json, write_json
from toonface_export.engines import REFERENCE, SOURCE_GRAPH, build_engines, require_gpu
from toonface_export.forms import Progress
from toonface_export.manifest import describe, describe_network, write_manifest
from toonface_export.network_stages import NetworkConfig
from toonface_export.networks import Evidence, ExportedDetector, ExportedEmbedder, export_detector, export_embedder
from toonface_export.output import assembled, check_output
from toonface_export.pipeline import Pipeline
from toonface_export.runners import onnx_runner
from toonface_export.samples import NamedFaces, Sample, load_samples
from toonface_export.serving import Serving
from toonface_export.stages import Deployment, ModelConfig, repository_models
from toonface_export.triton_config import Ensemble, PythonStage

# The package that holds the stages' model.py, in a checkout and in an installed distribution alike.
_SHELLS = "toonface_model_repository"

# Of the user's pictures so many are compared on, and so many taken statistics over.
_MOST_PICTURES, _MOST_CALIBRATION = 32, 200
_MOST_FACES = 16


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
        output: the repository's folder. May be absent, empty, or an older repository.
        progress: is told of each step.
        force: replace `output` even if it is a folder of something else.
        bounds: of parity.
        engine_later: leave TensorRT's engines to `toonface_export.engines.rebuild`.

    Returns:
        The manifest that was written to toonface.json.

    Raises:
        ExportError: a model cannot be exported or misses its parity bound, `output` is not to be replaced, or there is
            no GPU for an engine.
        ConfigError: the user's pictures cannot be read.
    """
    check_output(output, force)
    if pipeline.serving.backend == "tensorrt" and not engine_later:
        require_gpu(_INSTEAD)
    evidence = gather_evidence(pipeline.serving, pipeline.options, bounds)
    detector = export_detector(pipeline.modules.detection, pipeline.serving, progress, evidence)
    embedder = export_embedder(
        pipeline.modules.recognition, pipeline.serving, progress, evidence, _Faces(detector, pipeline.options)
    )
    return write_repository(
        pipeline, detector, embedder, output.resolve(), progress, bounds=bounds, engine_later=engine_later
    )


_INSTEAD = (
    "Write the repository without its engines here (add --engine-later), and run `toonface export engine` on it in the "
    "container that serves, on its GPU; or add --backend onnxruntime, which needs no engine"
)


def gather_evidence(serving: Serving, options: RecognitionOptions, bounds: Bounds) -> Evidence:
    """What the networks are judged by.

    Raises:
        ConfigError: the user's pictures cannot be read.
    """
    return Evidence(
        options=options,
        bounds=bounds,
        pictures=load_samples(serving.pictures, _MOST_PICTURES) if serving.pictures else None,
        calibration=load_samples(serving.calibration, _MOST_CALIBRATION) if serving.calibration else None,
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
            embedder=embedder.source.digest,
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
            build_engines(repository, *require_gpu(_INSTEAD), progress, bounds)
            manifests = {name: read_json(repository / name / MODEL_MANIFEST) for name in networks}
        return write_manifest(
            repository, describe(pipeline, manifests[FACE_DETECTION], manifests[FACE_EMBEDDING], models)
        )


def write_network(
    folder: Path, network: ExportedDetector | ExportedEmbedder, config: NetworkConfig, serving: Serving, bounds: Bounds
) -> dict[str, Any]:
    """Write one network as a Triton model, with its manifest, into the folder `folder`, which exists.

    Returns:
        The manifest.
    """
    version = folder / "1"
    version.mkdir()
    (folder / "config.pbtxt").write_text(config.config(), encoding="utf-8")
    if serving.backend == "tensorrt":
        (folder / SOURCE_GRAPH).write_bytes(network.form.graph.SerializeToString(deterministic=True))
        network.reference.save(folder / REFERENCE)
    else:
        for name, content in network.form.files.items():
            (version / name).write_bytes(content)
    manifest = describe_network(network, serving, config, bounds)
    write_json(folder / MODEL_MANIFEST, manifest)
    return manifest


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


class _Faces:
    """Cuts the faces out of the user's pictures that the exported detector finds in them.

    A picture in which it finds none is taken as one face, as PaddleX takes gallery pictures.
    """

    def __init__(self, detector: ExportedDetector, options: RecognitionOptions) -> None:
        self._detector, self._options = detector, options

    def __call__(self, samples: Sequence[Sample]) -> NamedFaces:
        run = onnx_runner(self._detector.form.graph)
        names: list[str] = []
        crops = []
        for sample in samples:
            answers = run(self._detector.input.fit(sample.pixels)[np.newaxis])
            faces = find_faces(
                sample.pixels,
                answers["boxes"][0],
                answers["scores"][0],
                detector_input=self._detector.input,
                nms=self._detector.nms,
                options=self._options,
                most=_MOST_FACES,
            )
            if faces.found:
                names += [f"{sample.name}, face {number}" for number in range(len(faces.crops))]
                crops.append(faces.crops)
            else:
                names.append(sample.name)
                crops.append(sample.as_face()[np.newaxis])
        return tuple(names), np.concatenate(crops)
