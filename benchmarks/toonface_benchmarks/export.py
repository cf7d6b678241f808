"""What each model becomes in each form that runs here: size, distance from Paddle, and speed beside Paddle's own."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toonface_benchmarks.engines import EngineSpec
from toonface_benchmarks.random_models import write_random_model
from toonface_benchmarks.speeds import Speed, take_turns
from toonface_export.bounds import BOUNDS, misses
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.forms import Form, Wanted, choose_form
from toonface_export.networks import Evidence, ExportedDetector, ExportedEmbedder, export_detector, export_embedder
from toonface_export.pictures import face_crops, face_scenes
from toonface_export.pipeline import Module
from toonface_export.references import Reference
from toonface_export.runners import openvino_precisions
from toonface_export.serving import Serving
from toonface_export.triton_config import Computed

MODELS = (*DETECTORS, *EMBEDDERS)

_Backend = Literal["openvino", "onnxruntime"]
_FORMS: tuple[tuple[_Backend, Computed], ...] = (
    ("onnxruntime", "f32"),
    ("openvino", "f32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
# Every form is measured, and the bounds are looked at afterwards.
_NO_BOUNDS = {precision: dict.fromkeys(limits, math.inf) for precision, limits in BOUNDS.items()}
# Paddle looks at a picture once, so the BlazeFaces do here too.
_PYRAMID_LEVELS = 1
_CALIBRATION = 32


@dataclass(frozen=True)
class Row:
    """One form of one model, or Paddle's own.

    Attributes:
        model: PaddleX's name.
        trained: whether its parameters are, or random.
        engine: who computes.
        precision: in what.
        megabytes: of its files.
        nodes: of its graph, before a quantisation.
        seconds: from the inference folder to the form, compared with Paddle.
        parity: figures by name.
        missed: what is over its bound, in words.
        speed: of calls.
    """

    model: str
    trained: bool
    engine: str
    precision: str
    megabytes: float
    nodes: int | None
    seconds: float | None
    parity: Mapping[str, float]
    missed: Sequence[str]
    speed: Speed

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "throughput": self.speed.throughput}


def measure(
    models: Sequence[str],
    folders: Path,
    *,
    threads: int,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> Iterator[list[Row]]:
    """The rows of each model in turn; Paddle's own is the first of them.

    Args:
        models: PaddleX's names.
        folders: holds inference folders by their models' names; a model without one gets random parameters.
        threads: of each engine.
        rounds: of measurements; in each, all engines take their turns at every batch.
        seconds: of each measurement.
        progress: is told what is going on.
    """
    for model in models:
        with tempfile.TemporaryDirectory(prefix="toonface-bench-") as scratch:
            folder = folders / model
            trained = folder.is_dir()
            if not trained:
                progress(f"{model}: random parameters")
                folder = Path(scratch) / model
                write_random_model(model, folder)
            job = _Job(model, trained, folder, Path(scratch), threads, rounds, seconds, progress)
            yield _measure_model(job)


@dataclass(frozen=True)
class _Job:
    """The arguments of `measure` for one model; `scratch` is a folder of its own."""

    model: str
    trained: bool
    folder: Path
    scratch: Path
    threads: int
    rounds: int
    seconds: float
    progress: Callable[[str], None]

    def tell(self, text: str) -> None:
        self.progress(f"{self.model}: {text}")


def _measure_model(job: _Job) -> list[Row]:
    job.tell("convert, and ask Paddle for its answers")
    started = time.perf_counter()
    exported = _export(job.model, job.folder)
    shared = time.perf_counter() - started
    forms: dict[tuple[_Backend, Computed], tuple[Form, float]] = {}
    for kind, precision in _FORMS:
        if precision == "bf16" and "BF16" not in openvino_precisions():
            continue
        job.tell(f"{kind} in {precision}")
        started = time.perf_counter()
        forms[kind, precision] = (_form(exported, kind, precision), shared + time.perf_counter() - started)
    specs = [_paddle_spec(exported, job.threads)]
    for (kind, precision), (form, _) in forms.items():
        specs.append(_form_spec(form, exported.reference, kind, precision, job))
    paddle, *speeds = take_turns(specs, job.rounds, job.seconds, job.tell)
    size = sum(path.stat().st_size for path in (exported.source.program, exported.source.parameters)) / 1e6
    rows = [Row(job.model, job.trained, "paddle", "f32", size, None, None, {}, (), paddle)]
    for ((kind, precision), (form, taken)), speed in zip(forms.items(), speeds, strict=True):
        figures = form.parity[precision]
        rows.append(
            Row(
                model=job.model,
                trained=job.trained,
                engine=kind,
                precision=precision,
                megabytes=sum(map(len, form.files.values())) / 1e6,
                nodes=len(form.graph.graph.node),
                seconds=taken,
                parity={name: figure.value for name, figure in figures.items()},
                missed=misses(figures, BOUNDS[precision]),
                speed=speed,
            )
        )
    return rows


def _export(model: str, folder: Path) -> ExportedDetector | ExportedEmbedder:
    """The graph that all forms have in common, and Paddle's answers."""
    serving = Serving(backend="onnxruntime", precision="f32", pyramid_levels=_PYRAMID_LEVELS)
    module, evidence = Module(model_name=model, model_dir=folder), Evidence(bounds=_NO_BOUNDS)
    if model in DETECTORS:
        return export_detector(module, serving, lambda step: None, evidence)
    return export_embedder(module, serving, lambda step: None, evidence)


def _form(exported: ExportedDetector | ExportedEmbedder, kind: _Backend, precision: Computed) -> Form:
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


def _paddle_spec(exported: ExportedDetector | ExportedEmbedder, threads: int) -> EngineSpec:
    """Paddle's program with its own preprocessing done beforehand, and its NMS in it."""
    picture = exported.reference.pictures[:1]
    [image] = exported.normalisation.apply(picture)
    rows = {"x": image, "image": image}
    rows["im_shape"] = np.array(image.shape[1:], np.float32)
    rows["scale_factor"] = np.ones(2, np.float32)
    return EngineSpec("paddle", exported.source.program, "f32", threads, rows)


def _form_spec(form: Form, reference: Reference, kind: _Backend, precision: Computed, job: _Job) -> EngineSpec:
    place = job.scratch / f"{kind}-{precision}"
    place.mkdir()
    for name, content in form.files.items():
        (place / name).write_bytes(content)
    [file] = [path for path in place.iterdir() if path.suffix in (".onnx", ".xml")]
    [name] = [value.name for value in form.graph.graph.input]
    # INT8 is in the file; what stays in floating point computes in F32, as it is served.
    return EngineSpec(kind, file, "bf16" if precision == "bf16" else "f32", job.threads, {name: reference.pictures[0]})
