"""Serves models with OpenVINO where Triton's native `openvino` backend is missing, from the same `config.pbtxt`.

Of the native backend's settings it reads `INFERENCE_NUM_THREADS`, `COMPILATION_NUM_THREADS`, `NUM_STREAMS`,
`PERFORMANCE_HINT` and `HINT_BF16` (https://github.com/triton-inference-server/openvino_backend#parameters), and besides
them `INFERENCE_PRECISION_HINT`: `auto`, `f32` or `bf16`.

A model that batches is compiled for one row, and the rows of a batch run one by one, as many at a time as there are
streams. On a CPU a batch gains nothing: compiled for any batch size, the detector took a third more CPU for a picture
and four times the memory, and every new size cost a slow first run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from toonface_server.backend_support import Model, respond
from toonface_server.batching import Arrays
from toonface_server.cpus import bf16_pays, usable_cpus

_PRECISIONS = ("auto", "f32", "bf16")


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model file."""
        self._model = Model.from_triton(args, default_file="model.xml")
        core = ov.Core()
        network = core.read_model(self._model.file)
        if self._model.batches:
            network.reshape({tensor.any_name: [1, *list(tensor.partial_shape)[1:]] for tensor in network.inputs})
        compiled = core.compile_model(network, "CPU", properties(self._model))
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(streams)]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests."""
        return respond(requests, self._model, self._run)

    def _run(self, inputs: Arrays) -> Arrays:
        rows = [inputs]
        if self._model.batches:
            count = len(next(iter(inputs.values())))
            rows = [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(count)]
        answers: list[Arrays] = []
        for first in range(0, len(rows), len(self._requests)):
            answers += self._run_side_by_side(rows[first : first + len(self._requests)])
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._model.outputs}

    def _run_side_by_side(self, rows: list[Arrays]) -> list[Arrays]:
        started = []
        try:
            for request, row in zip(self._requests, rows, strict=False):
                request.start_async(row, share_inputs=True)
                started.append(request)
        finally:
            for request in started:
                request.wait()
        # Copies: the next row's outputs are written over these.
        return [{name: request.get_tensor(name).data.copy() for name in self._model.outputs} for request in started]


def properties(model: Model) -> dict[str, Any]:
    """OpenVINO's properties for a model. 0 threads means as many as there are CPUs to use.

    Raises:
        ValueError: a parameter is none that OpenVINO, or this backend, knows.
    """
    given: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": model.number("INFERENCE_NUM_THREADS") or usable_cpus(),
        "INFERENCE_PRECISION_HINT": _precision(model),
        "PERFORMANCE_HINT": model.parameters.get("PERFORMANCE_HINT", "LATENCY").upper(),
        # Each stage would pin its threads to the same first CPUs.
        "ENABLE_CPU_PINNING": False,
    }
    for name in ("NUM_STREAMS", "COMPILATION_NUM_THREADS"):
        if model.parameters.get(name):
            given[name] = model.parameters[name].upper()
    return given


def _precision(model: Model) -> str:
    asked = model.parameters.get("INFERENCE_PRECISION_HINT", "auto").lower()
    if asked not in _PRECISIONS:
        raise ValueError(f"parameter INFERENCE_PRECISION_HINT is {asked!r}; it must be one of {', '.join(_PRECISIONS)}")
    if model.parameters.get("HINT_BF16", "").lower() == "yes":
        return "bf16"
    if asked == "auto":
        return "bf16" if bf16_pays(Path("/proc/cpuinfo").read_text()) else "f32"
    return asked
