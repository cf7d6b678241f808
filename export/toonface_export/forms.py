"""The form in which a network is served: who computes it, in what, from which files, and how far it is from Paddle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_export.bounds import Bounds, misses
from toonface_export.figures import Answers, Figures, worst_of
from toonface_export.half_search import half_graph
from toonface_export.quantise import quantise
from toonface_export.references import Reference
from toonface_export.runners import OpenVinoRunner, Runner, onnx_runner, openvino_precisions
from toonface_export.samples import evenly_spaced
from toonface_export.scratch import scratch_folder
from toonface_export.serving import Backend, Target
from toonface_export.triton_config import MODEL_FILENAME, QUANTISED_FILENAME, Computed, Precision

Progress = Callable[[str], None]
"""Is told of each step as it begins, in a few words."""

# Statistics for INT8 are taken over so many pictures at most.
_MOST_CALIBRATION = 300
# What a network is served in when it misses its bound.
_NEXT: Mapping[Computed, Computed] = {"int8": "bf16", "bf16": "f32", "f16": "f32"}


@dataclass(frozen=True)
class Wanted:
    """What is asked of a network.

    Attributes:
        target: what it is to run on.
        backend: who is to compute it.
        precision: in what.
        fall_back: whether the next finer precision may be taken when a bound is missed.
        bounds: of parity.
        most_together: pictures that one request may hold, all of which are computed together.
        calibration: pictures UINT8 [N,h,w,3] as the network gets them, for INT8; of more than 300 evenly spaced ones
            count.
    """

    target: Target
    backend: Backend
    precision: Precision
    fall_back: bool
    bounds: Bounds
    most_together: int = 1
    calibration: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Form:
    """A network that has passed.

    Attributes:
        precision: what it is served in; `auto` if it has passed in all that the backend may choose from.
        files: content by file name. Of a TensorRT engine, the graph that it is built from.
        graph: the graph, before a quantisation.
        parity: figures for each precision in which it has been compared.
        details: more that was found out, for the manifest.
        notes: sentences for the user: what was not done as asked, and why.
    """

    precision: Precision
    files: Mapping[str, bytes]
    graph: onnx.ModelProto
    parity: Mapping[Computed, Figures]
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose_form(name: str, graph: onnx.ModelProto, reference: Reference, wanted: Wanted, progress: Progress) -> Form:
    """Make the form that is asked for, and hold it against Paddle.

    `auto` is F16 on GPUs and F32 with ONNX Runtime on CPUs. With OpenVINO it leaves the choice between F32 and BF16 to
    the server, if this processor can show that both pass; otherwise it is F32.

    Args:
        name: of the model, for messages.
        graph: the served graph in FP32.
        reference: Paddle's answers.
        wanted: what is asked for.
        progress: is told of each step.

    Raises:
        ExportError: it misses a bound and may not fall back, or this processor cannot compute in the precision.
    """
    attempt = _Attempt(name, graph, reference, wanted, progress)
    if wanted.precision != "auto":
        return attempt.first_that_passes(wanted.precision, fall_back=wanted.fall_back)
    if wanted.target == "gpu":
        return attempt.first_that_passes("f16", fall_back=True)
    form = attempt.first_that_passes("f32", fall_back=False)
    if wanted.backend == "onnxruntime":
        return form
    finer, problem = attempt.form("bf16")
    if finer is None:
        return replace(form, notes=(f"{name} is served in f32, not in bf16: {problem}",))
    details = {"executed": {**form.details["executed"], **finer.details["executed"]}}
    return replace(form, precision="auto", parity={**form.parity, **finer.parity}, details=details)


@dataclass(frozen=True)
class _Attempt:
    """The arguments of `choose_form`."""

    name: str
    graph: onnx.ModelProto
    reference: Reference
    wanted: Wanted
    progress: Progress

    def first_that_passes(self, precision: Computed, *, fall_back: bool) -> Form:
        notes: tuple[str, ...] = ()
        while True:
            form, problem = self.form(precision)
            if form is not None:
                return replace(form, notes=notes)
            if not fall_back or precision not in _NEXT:
                raise ExportError(f"{self.name}: {problem}; the model was not written")
            notes += (f"{self.name} is not served in {precision}: {problem}",)
            precision = _NEXT[precision]

    def form(self, precision: Computed) -> tuple[Form | None, str]:
        """The network in one precision; or None, and why not."""
        if precision == "bf16" and "BF16" not in openvino_precisions():
            return None, f"this processor cannot compute in bf16 (OpenVINO names {', '.join(openvino_precisions())})"
        limits = self.wanted.bounds[precision]
        with scratch_folder() as scratch:
            graph, files, details = self._made(precision)
            if self.wanted.backend == "openvino":
                for filename, content in files.items():
                    (scratch / filename).write_bytes(content)
            self.progress(f"{self.name}: compare with Paddle in {precision}")
            run, executed = self._runner(precision, graph, scratch, batch=1)
            alone = run(self.reference.pictures)
            compared = [self.reference.figures(alone)]
            if missed := misses(compared[0], limits):
                return None, f"parity with Paddle failed in {precision}: {'; '.join(missed)}"
            if self.wanted.most_together > 1:
                batch = self._batch()
                run, _ = self._runner(precision, graph, scratch, batch=len(batch))
                compared.append(self.reference.figures(_with_first(run(batch), alone)))
                if missed := misses(compared[1], limits):
                    problem = f"parity with Paddle failed in {precision} in a batch of {len(batch)}"
                    return None, f"{problem}: {'; '.join(missed)}"
        return Form(precision, files, graph, {precision: worst_of(compared)}, {**details, **executed}), ""

    def _batch(self) -> NDArray[np.uint8]:
        """The first of the pictures, as many as are computed together; one alone has its negative beside it."""
        pictures = self.reference.pictures[: self.wanted.most_together]
        return pictures if len(pictures) > 1 else np.concatenate([pictures, 255 - pictures])

    def _made(self, precision: Computed) -> tuple[onnx.ModelProto, dict[str, bytes], dict[str, Any]]:
        """Graph, files, and details."""
        graph = self.graph
        details: dict[str, Any] = {}
        if precision == "f16":
            self.progress(f"{self.name}: find what must stay in f32 beside f16")
            half = half_graph(graph, self.reference, self.wanted.bounds["f16"])
            graph, details = half.graph, {"kept_in_f32": list(half.kept)}
        if precision == "int8":
            if self.wanted.calibration is None:
                raise ExportError(f"{self.name}: int8 needs calibration pictures")
            # Of very many faces those of all pictures count, not those of the first alone.
            rows = evenly_spaced(len(self.wanted.calibration), _MOST_CALIBRATION)
            self.progress(f"{self.name}: quantise on {len(rows)} pictures")
            files = quantise(graph, self.wanted.calibration[rows])
            details = {"calibration_pictures": len(rows)}
        else:
            files = {MODEL_FILENAME: graph.SerializeToString(deterministic=True)}
        return graph, files, details

    def _runner(
        self, precision: Computed, graph: onnx.ModelProto, folder: Path, batch: int
    ) -> tuple[Runner, dict[str, Any]]:
        """Who computes the graph, or with OpenVINO its files in a folder; and more details."""
        if self.wanted.backend != "openvino":
            return onnx_runner(graph, together=batch > 1), {}
        first = QUANTISED_FILENAME if precision == "int8" else MODEL_FILENAME
        run = OpenVinoRunner(folder / first, "bf16" if precision == "bf16" else "f32", batch)
        return run, {"executed": {precision: run.precisions()}}


def _with_first(together: Answers, alone: Answers) -> Answers:
    """The answers to pictures that were computed one by one, with those of the first ones from a batch instead."""
    return {
        name: np.concatenate([together[name], values[len(together[name]) :]])[: len(values)]
        for name, values in alone.items()
    }
