"""What each model becomes in each form: size, distance from Paddle, and the speed of those that run here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toonface_benchmarks.export_forms import Backend, common_graph, engine_spec, form_of, half_form, paddle_spec
from toonface_benchmarks.random_models import write_random_model
from toonface_benchmarks.speeds import Speed, take_turns
from toonface_export.bounds import BOUNDS, misses
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.forms import Form
from toonface_export.runners import openvino_precisions
from toonface_export.triton_config import Computed

MODELS = (*DETECTORS, *EMBEDDERS)

_FORMS: tuple[tuple[Backend, Computed], ...] = (
    ("onnxruntime", "f32"),
    ("openvino", "f32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)


@dataclass(frozen=True)
class Row:
    """One form of one model, or Paddle's own.

    Attributes:
        model: PaddleX's name.
        trained: whether its parameters are, or random.
        engine: who computes; `gpu` for the form that a GPU would get, which none computes here.
        precision: in what.
        megabytes: of its files.
        nodes: of its graph, before a quantisation.
        seconds: from the inference folder to the form, compared with Paddle.
        parity: figures by name.
        missed: what is over its bound, in words.
        speed: of calls; None for a GPU's form.
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
    speed: Speed | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "throughput": None if self.speed is None else self.speed.throughput}


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
    exported = common_graph(job.model, job.folder)
    shared = time.perf_counter() - started
    forms: dict[tuple[Backend, Computed], tuple[Form, float]] = {}
    for kind, precision in _FORMS:
        if precision == "bf16" and "BF16" not in openvino_precisions():
            continue
        job.tell(f"{kind} in {precision}")
        started = time.perf_counter()
        forms[kind, precision] = (form_of(exported, kind, precision), shared + time.perf_counter() - started)
    job.tell("f16, for a GPU")
    started = time.perf_counter()
    half = half_form(exported)
    half_seconds = shared + time.perf_counter() - started
    specs = [paddle_spec(exported, job.threads)]
    for (kind, _), (form, _) in forms.items():
        specs.append(engine_spec(form, exported.reference, kind, job.scratch, job.threads))
    paddle, *speeds = take_turns(specs, job.rounds, job.seconds, job.tell)
    size = sum(path.stat().st_size for path in (exported.source.program, exported.source.parameters)) / 1e6
    rows = [Row(job.model, job.trained, "paddle", "f32", size, None, None, {}, (), paddle)]
    for ((kind, precision), (form, taken)), speed in zip(forms.items(), speeds, strict=True):
        rows.append(_row(job, kind, precision, form, taken, speed))
    return [*rows, _row(job, "gpu", "f16", half, half_seconds, None)]


def _row(job: _Job, engine: str, precision: Computed, form: Form, taken: float, speed: Speed | None) -> Row:
    figures = form.parity[precision]
    return Row(
        model=job.model,
        trained=job.trained,
        engine=engine,
        precision=precision,
        megabytes=sum(map(len, form.files.values())) / 1e6,
        nodes=len(form.graph.graph.node),
        seconds=taken,
        parity={name: figure.value for name, figure in figures.items()},
        missed=misses(figures, BOUNDS[precision]),
        speed=speed,
    )
