"""Build the TensorRT engines of a repository, on the GPU and with the TensorRT that will serve them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_contract.names import FACE_DETECTION, FACE_EMBEDDING
from toonface_ensemble.nms import NmsParameters
from toonface_export.bounds import BOUNDS, Bounds, misses
from toonface_export.digests import MANIFEST, MODEL_MANIFEST, read_json, with_files, write_json
from toonface_export.engine import EngineBuilder, EngineSettings
from toonface_export.engine_inspection import built_types, check_built, load_engine
from toonface_export.figures import Answers, DetectorJudge, EmbedderJudge, Judge, figures_as_json
from toonface_export.gpu import Gpu, find_gpu
from toonface_export.output import assembled
from toonface_export.references import Reference, load_reference
from toonface_export.triton_config import ENGINE_FILENAME

# Beside the version's folder, where Triton does not look: what an engine is built from, and what it is held against.
Progress = Callable[[str], None]
SOURCE_GRAPH = "source.onnx"
REFERENCE = "reference.npz"
_NETWORKS = {"detector": FACE_DETECTION, "recogniser": FACE_EMBEDDING}


def require_gpu(instead: str) -> tuple[Any, Gpu]:
    """TensorRT's module, and the GPU that is here.

    Args:
        instead: what to do where they are missing, for the message.

    Raises:
        ExportError: one of them is missing.
    """
    try:
        trt = import_module("tensorrt")
    except ImportError as error:
        raise ExportError(f"TensorRT's Python package is not installed (pip install tensorrt). {instead}") from error
    gpu = find_gpu()
    if gpu is None:
        raise ExportError(f"there is no NVIDIA GPU here, and an engine is built on the GPU that serves it. {instead}")
    return trt, gpu


def build_engines(repository: Path, trt: Any, gpu: Gpu, progress: Progress, bounds: Bounds = BOUNDS) -> None:
    """Build every engine that the repository's models ask for, into it.

    Args:
        repository: a folder of models that nothing serves from yet.
        trt: the module `tensorrt`.
        gpu: the GPU that is here.
        progress: is told of each step.
        bounds: of parity.

    Raises:
        ExportError: an engine cannot be built, is not what was asked for, or misses its parity bound.
    """
    builder = EngineBuilder(trt)
    found = False
    for path in sorted(repository.glob(f"*/{MODEL_MANIFEST}")):
        manifest = read_json(path)
        if manifest["backend"] == "tensorrt":
            found = True
            write_json(path, {**manifest, "engine": _build(path.parent, manifest, builder, trt, gpu, progress, bounds)})
    if not found:
        raise ExportError(f"{repository} has no model for TensorRT; export it with --target gpu")


def rebuild(repository: Path, progress: Progress, bounds: Bounds = BOUNDS) -> dict[str, Any]:
    """Build the engines of an exported repository anew, for the GPU and with the TensorRT that are here.

    Args:
        repository: its folder.
        progress: is told of each step.
        bounds: of parity.

    Returns:
        The repository's new manifest.

    Raises:
        ExportError: it is no repository, TensorRT or the GPU is missing, or an engine is refused; the repository then
            stays as it was.
    """
    repository = repository.resolve()
    manifest = read_json(repository / MANIFEST)
    trt, gpu = require_gpu(
        f"Run `toonface export engine {repository}` in the container that serves, on its GPU; or export with "
        "--backend onnxruntime, which needs no engine"
    )
    with assembled(repository, progress) as copy:
        shutil.copytree(repository, copy, dirs_exist_ok=True)
        build_engines(copy, trt, gpu, progress, bounds)
        built = {name: read_json(copy / model / MODEL_MANIFEST) for name, model in _NETWORKS.items()}
        manifest = with_files(copy, {**manifest, **built, "engines": engine_records(copy)})
        write_json(copy / MANIFEST, manifest)
    return manifest


def engine_records(repository: Path) -> dict[str, Any]:
    """For each model of TensorRT what its engine was built with and for; None if it has not been built yet."""
    manifests = {path.parent.name: read_json(path) for path in sorted(repository.glob(f"*/{MODEL_MANIFEST}"))}
    return {name: manifest.get("engine") for name, manifest in manifests.items() if manifest["backend"] == "tensorrt"}


def _build(
    folder: Path,
    manifest: Mapping[str, Any],
    builder: EngineBuilder,
    trt: Any,
    gpu: Gpu,
    progress: Progress,
    bounds: Bounds,
) -> dict[str, Any]:
    name, asked = manifest["model_name"], manifest["engine_settings"]
    settings = EngineSettings(
        batches=asked["batches"],
        workspace_mb=asked["workspace_mb"],
        version_compatible=asked["version_compatible"],
        timing_cache=asked["timing_cache"] and Path(asked["timing_cache"]),
    )
    progress(f"{name}: build an engine with TensorRT {trt.__version__} for {gpu.name}")
    plan = builder.build((folder / SOURCE_GRAPH).read_bytes(), settings)
    engine = load_engine(trt, plan)
    types = built_types(trt, engine)
    check_built(name, manifest["precision"], types)
    progress(f"{name}: compare the engine with Paddle")
    reference = load_reference(folder / REFERENCE, _judge(manifest))
    figures = reference.figures(_answers(engine, reference, settings.batches))
    missed = misses(figures, bounds[manifest["precision"]])
    if missed:
        raise ExportError(f"{name}: parity of the engine with Paddle failed: {'; '.join(missed)}; it was not written")
    (folder / "1" / ENGINE_FILENAME).write_bytes(plan)
    return {
        "tensorrt": trt.__version__,
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "version_compatible": settings.version_compatible,
        "layers": types,
        "parity": figures_as_json(figures),
    }


def _judge(manifest: Mapping[str, Any]) -> Judge:
    judge = manifest["judge"]
    if "nms" in judge:
        return DetectorJudge(**{**judge, "nms": NmsParameters.model_validate(judge["nms"])})
    return EmbedderJudge(**judge)


def _answers(engine: Any, reference: Reference, batches: Sequence[int]) -> Answers:
    """The engine's answers, in batches as large as it takes."""
    from polygraphy.backend.trt import TrtRunner

    parts: list[Mapping[str, NDArray[np.float32]]] = []
    with TrtRunner(engine, optimization_profile=len(batches) - 1) as runner:
        [name] = runner.get_input_metadata()
        for first in range(0, len(reference.pictures), batches[-1]):
            outputs = runner.infer({name: reference.pictures[first : first + batches[-1]]})
            parts.append({output: np.array(values) for output, values in outputs.items()})
    return {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}
