"""Serves models with OpenVINO where Triton's native `openvino` backend is missing, from the same `config.pbtxt`.

Of the native backend's settings it reads `INFERENCE_NUM_THREADS`, `COMPILATION_NUM_THREADS`, `NUM_STREAMS`,
`PERFORMANCE_HINT` and `HINT_BF16` (https://github.com/triton-inference-server/openvino_backend#parameters), and besides
them `INFERENCE_PRECISION_HINT`: `auto`, `f32` or `bf16`. Batches keep their true size, so there is nothing to pad.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino as ov

from toonface_server.backend_support import Model, respond
from toonface_server.batching import Arrays
from toonface_server.cpus import usable_cpus

_PRECISIONS = ("auto", "f32", "bf16")


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model file. Its batch dimension stays open: another batch size costs one slower first run."""
        self._model = Model.from_triton(args, default_file="model.xml")
        compiled = ov.Core().compile_model(str(self._model.file), "CPU", properties(self._model))
        self._request = compiled.create_infer_request()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, together where they batch."""
        return respond(requests, self._model, self._run)

    def _run(self, inputs: Arrays) -> Arrays:
        # Inputs are read where they lie; outputs are copied, since the next run writes over them.
        results = self._request.infer(inputs, share_inputs=True)
        return {name: results[name] for name in self._model.outputs}


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


def bf16_pays(cpuinfo: str) -> bool:
    """Whether bf16 is faster than f32 on this processor: with AMX, and with AVX512-BF16 on AMD.

    On an Intel processor with AVX512-BF16 and no AMX, ResNet50 and MobileFaceNet took 1.4 to 1.7 times as long in bf16;
    on AMD they took half as long.

    Args:
        cpuinfo: text of /proc/cpuinfo.
    """
    words = set(cpuinfo.split())
    return "amx_bf16" in words or ("avx512_bf16" in words and "AuthenticAMD" in words)
