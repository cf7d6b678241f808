"""Build the TensorRT engines of a repository, on the GPU and with the TensorRT that will serve them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_contract.names import FACE_DETECTION, FACE_EMBEDDING
from toonface_ensemble.nms import NmsParameters
from toonface_export.bounds import BOUNDS, finite, misses, replaced, tightened
from toonface_export.digests import COMPILED, MANIFEST, MODEL_MANIFEST, read_json, with_files, write_json
from toonface_export.engine import EngineBuilder, EngineSettings
from toonface_export.engine_inspection import built_types, check_built, load_engine
from toonface_export.figures import Answers, Figures, figures_as_json, worst_of
from toonface_export.gpu import Gpu, require_gpu
from toonface_export.judges import DetectorJudge, EmbedderJudge, Judge
from toonface_export.output import assembled
from toonface_export.references import Reference, load_reference
from toonface_export.triton_config import ENGINE_FILENAME, Computed

Progress = Callable[[str], None]
# Beside the version's folder, where Triton does not look: what an engine is built from, and what it is held against.
SOURCE_GRAPH = "source.onnx"
REFERENCE = "reference.npz"
_NETWORKS = {"detector": FACE_DETECTION, "recogniser": FACE_EMBEDDING}


def build_engines(repository: Path, trt: Any, gpu: Gpu, progress: Progress, changes: Sequence[str] = ()) -> None:
    """Build every engine that the repository's models ask for, into it.

    Args:
        repository: a folder of models that nothing serves from yet.
        trt: the module `tensorrt`.
        gpu: the GPU that is here.
        progress: is told of each step.
        changes: of the manifests' bounds of parity, as `toonface_export.bounds.tightened` takes them.

    Raises:
        ExportError: an engine cannot be built, is not what was asked for, or misses its parity bound.
    """
    models = _models(repository)
    if not models:
        raise _no_model(repository)
    for folder in models:
        build_engine(folder, trt, gpu, progress, changes)


def build_engine(folder: Path, trt: Any, gpu: Gpu, progress: Progress, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Build the engine of one model, into its folder, from which nothing serves yet.

    Returns:
        The model's new manifest, as it was written.

    Raises:
        ExportError: as `build_engines` does.
    """
    manifest = read_json(folder / MODEL_MANIFEST)
    if manifest["backend"] != "tensorrt":
        raise _no_model(folder)
    precision: Computed = manifest["precision"]
    limits = replaced({**BOUNDS[precision], **manifest["bounds"][precision]}, precision, changes)
    manifest["engine"], figures = _build(folder, manifest, EngineBuilder(trt, progress), trt, gpu, progress, limits)
    manifest["bounds"][precision] = finite(limits, figures)
    write_json(folder / MODEL_MANIFEST, manifest)
    return manifest


def rebuild(folder: Path, progress: Progress, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Build the engines of an export anew, for the GPU and with the TensorRT that are here.

    Args:
        folder: an exported repository, or one exported model by itself.
        progress: is told of each step.
        changes: of the bounds of parity that stand in the manifests, as `toonface_export.bounds.tightened` takes them.

    Returns:
        The new manifest of the repository, or of the model.

    Raises:
        ConfigError: a change is not understood, or loosens a bound of the table.
        ExportError: it is neither, a file or TensorRT or the GPU is missing, or an engine is refused; the folder then
            stays as it was.
    """
    tightened(BOUNDS, changes)
    folder = folder.resolve()
    single = (folder / MODEL_MANIFEST).is_file()
    manifest = read_json(folder / (MODEL_MANIFEST if single else MANIFEST))
    if single and (folder.parent / MANIFEST).is_file():
        raise ExportError(f"{folder} is a part of the repository {folder.parent}, whose manifest names it; name that")
    if single and manifest["backend"] != "tensorrt":
        raise _no_model(folder)
    for model in [folder] if single else _models(folder):
        for name in (SOURCE_GRAPH, REFERENCE):
            if not (model / name).is_file():
                raise ExportError(f"{name} is missing in {model}; export it again")
    trt, gpu = require_gpu(
        f"Run `toonface export engine {folder}` in the container that serves, on its GPU; or export with "
        "--backend onnxruntime, which needs no engine"
    )
    with assembled(folder, progress) as copy:
        # A server that runs leaves compiled modules in what it serves.
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(COMPILED))
        if single:
            return build_engine(copy, trt, gpu, progress, changes)
        build_engines(copy, trt, gpu, progress, changes)
        built = {name: read_json(copy / model / MODEL_MANIFEST) for name, model in _NETWORKS.items()}
        manifest = with_files(copy, {**manifest, **built, "engines": engine_records(copy)})
        write_json(copy / MANIFEST, manifest)
    return manifest


def engine_records(repository: Path) -> dict[str, Any]:
    """For each model of TensorRT what its engine was built with and for; None if it has not been built yet."""
    manifests = {path.parent.name: read_json(path) for path in sorted(repository.glob(f"*/{MODEL_MANIFEST}"))}
    return {name: manifest.get("engine") for name, manifest in manifests.items() if manifest["backend"] == "tensorrt"}


def _models(repository: Path) -> list[Path]:
    """The folders of the models that are TensorRT engines."""
    manifests = sorted(repository.glob(f"*/{MODEL_MANIFEST}"))
    return [path.parent for path in manifests if read_json(path)["backend"] == "tensorrt"]


def _no_model(folder: Path) -> ExportError:
    return ExportError(f"{folder} has no model for TensorRT; export it with --target gpu")


def _build(
    folder: Path,
    manifest: Mapping[str, Any],
    builder: EngineBuilder,
    trt: Any,
    gpu: Gpu,
    progress: Progress,
    limits: Mapping[str, float],
) -> tuple[dict[str, Any], Figures]:
    """What the manifest says of the engine, and how far it is from Paddle."""
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
    reference = load_reference(folder / REFERENCE, _judge(manifest))
    compared = []
    for profile, batch in enumerate(settings.batches):
        progress(f"{name}: compare the engine with Paddle in batches of {batch}")
        compared.append(reference.figures(_answers(engine, reference, profile, batch)))
        if missed := misses(compared[-1], limits):
            raise ExportError(
                f"{name}: parity of the engine with Paddle failed in batches of {batch}: {'; '.join(missed)}; it was "
                "not written"
            )
    figures = worst_of(compared)
    (folder / "1" / ENGINE_FILENAME).write_bytes(plan)
    return {
        "tensorrt": trt.__version__,
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "version_compatible": settings.version_compatible,
        "layers": types,
        "parity": figures_as_json(figures),
    }, figures


def _judge(manifest: Mapping[str, Any]) -> Judge:
    judge = manifest["judge"]
    if "nms" in judge:
        return DetectorJudge(**{**judge, "nms": NmsParameters.model_validate(judge["nms"])})
    return EmbedderJudge(**judge)


def _answers(engine: Any, reference: Reference, profile: int, batch: int) -> Answers:
    """The engine's answers by one of its profiles, in full batches; pictures from the first on fill up the last."""
    from polygraphy.backend.trt import TrtRunner

    count = len(reference.pictures)
    parts: list[Mapping[str, NDArray[np.float32]]] = []
    with TrtRunner(engine, optimization_profile=profile) as runner:
        [name] = runner.get_input_metadata()
        for first in range(0, count, batch):
            rows = np.arange(first, first + batch) % count
            outputs = runner.infer({name: reference.pictures[rows]})
            parts.append({output: np.array(values) for output, values in outputs.items()})
    return {output: np.concatenate([part[output] for part in parts])[:count] for output in parts[0]}
