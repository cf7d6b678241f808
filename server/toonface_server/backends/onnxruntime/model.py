"""Serves ONNX models where Triton's native `onnxruntime` backend is missing, from the same `config.pbtxt`.

Of the native backend's settings it reads `intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`,
`enable_mem_arena`, `enable_mem_pattern` and `optimization.graph.level`
(https://github.com/triton-inference-server/onnxruntime_backend#model-config-options).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime as ort

from toonface_server.backend_support import Model, respond
from toonface_server.batching import Arrays

# `optimization.graph.level` of config.pbtxt, as the native backend takes it; anything else means all optimisations.
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model file."""
        self._model = Model.from_triton(args, default_file="model.onnx")
        self._session = ort.InferenceSession(
            str(self._model.file), session_options(self._model), providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, together where they batch."""
        return respond(requests, self._model, self._run)

    def _run(self, inputs: Arrays) -> Arrays:
        outputs = self._model.outputs
        return dict(zip(outputs, self._session.run(list(outputs), inputs), strict=True))


def session_options(model: Model) -> ort.SessionOptions:
    """ONNX Runtime's options for a model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = model.threads("intra_op_thread_count")
    options.inter_op_num_threads = model.threads("inter_op_thread_count")
    if model.number("execution_mode"):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = bool(model.number("enable_mem_arena", default=1))
    options.enable_mem_pattern = bool(model.number("enable_mem_pattern", default=1))
    level = int(model.config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    # Threads that wait by spinning take the CPU from the other stages, which run at the same time: without it,
    # detection and embedding side by side on two CPUs did 1.3 to 2 times as much.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
