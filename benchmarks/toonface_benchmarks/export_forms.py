"""The forms of a model that `toonface bench export` measures, and what runs each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np

from toonface_benchmarks.engines import EngineSpec
from toonface_export.bounds import BOUNDS
from toonface_export.evidence import Evidence
from toonface_export.families import DETECTORS
from toonface_export.forms import Form, Wanted, choose_form
from toonface_export.half_search import half_graph
from toonface_export.networks import ExportedDetector, ExportedEmbedder, export_detector, export_embedder
from toonface_export.pictures import face_crops, face_scenes
from toonface_export.pipeline import Module
from toonface_export.references import Reference
from toonface_export.runners import onnx_runner
from toonface_export.serving import Serving
from toonface_export.triton_config import MODEL_FILENAME, Computed

Backend = Literal["openvino", "onnxruntime"]

# Every form is measured, and the bounds are looked at afterwards.
_NO_BOUNDS = {precision: dict.fromkeys(limits, math.inf) for precision, limits in BOUNDS.items()}
# Paddle looks at a picture once, so the BlazeFaces do here too.
_PYRAMID_LEVELS = 1
_CALIBRATION = 32


def common_graph(model: str, folder: Path) -> ExportedDetector | ExportedEmbedder:
    """The graph that all forms have in common, and Paddle's answers."""
    serving = Serving(backend="onnxruntime", precision="f32", pyramid_levels=_PYRAMID_LEVELS)
    module, evidence = Module(model_name=model, model_dir=folder), Evidence(bounds=_NO_BOUNDS)
    if model in DETECTORS:
        return export_detector(module, serving, lambda step: None, evidence)
    return export_embedder(module, serving, lambda step: None, evidence)


def form_of(exported: ExportedDetector | ExportedEmbedder, kind: Backend, precision: Computed) -> Form:
    """The form of a network in one precision, compared with Paddle, whatever comes of it."""
    seen, height, width = exported.reference.pictures.shape[:3]
    count = seen + _CALIBRATION
    drawn = face_scenes(count, height, width) if isinstance(exported, ExportedDetector) else face_crops(count)
    wanted = Wanted(
        target="cpu",
        backend=kind,
        precision=precision,
        fall_back=False,
        bounds=_NO_BOUNDS,
        calibration=drawn[seen:],  # others than those that are compared
    )
    return choose_form(exported.source.name, exported.form.graph, exported.reference, wanted, lambda step: None)


def half_form(exported: ExportedDetector | ExportedEmbedder) -> Form:
    """The form in f16 that a GPU would get, compared with Paddle by emulated rounding, whatever comes of it."""
    reference, limits = exported.reference, BOUNDS["f16"]
    half = half_graph(exported.form.graph, reference, limits)
    figures = reference.figures(onnx_runner(half.graph)(reference.pictures))
    files = {MODEL_FILENAME: half.graph.SerializeToString(deterministic=True)}
    return Form("f16", files, half.graph, {"f16": figures}, {"kept_in_f32": list(half.kept)})


def paddle_spec(exported: ExportedDetector | ExportedEmbedder, threads: int) -> EngineSpec:
    """Paddle's program with its own preprocessing done beforehand, and its NMS in it."""
    picture = exported.reference.pictures[:1]
    [image] = exported.normalisation.apply(picture)
    rows = {"x": image, "image": image}
    rows["im_shape"] = np.array(image.shape[1:], np.float32)
    rows["scale_factor"] = np.ones(2, np.float32)
    return EngineSpec("paddle", exported.source.program, "f32", threads, rows)


def engine_spec(form: Form, reference: Reference, kind: Backend, scratch: Path, threads: int) -> EngineSpec:
    """What runs a form, whose files are written into a folder in `scratch`."""
    place = scratch / f"{kind}-{form.precision}"
    place.mkdir()
    for name, content in form.files.items():
        (place / name).write_bytes(content)
    [file] = [path for path in place.iterdir() if path.suffix in (".onnx", ".xml")]
    [name] = [value.name for value in form.graph.graph.input]
    # INT8 is in the file; what stays in floating point computes in F32, as it is served.
    return EngineSpec(kind, file, "bf16" if form.precision == "bf16" else "f32", threads, {name: reference.pictures[0]})
