"""Run an exported network as it will be served, for a list of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from toonface_export.figures import Answers
from toonface_export.half import emulate_half, has_halves

Runner = Callable[[NDArray[np.uint8]], Answers]
"""From pictures UINT8 [N,h,w,3] to the network's outputs by name, one row a picture."""


def onnx_runner(model: onnx.ModelProto, *, together: bool = False) -> Runner:
    """ONNX Runtime on the CPU. What is FP16 in the graph is rounded as a GPU would.

    Args:
        model: the graph.
        together: compute all pictures as one batch, and not one at a time.
    """
    graph = emulate_half(model) if has_halves(model) else model
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [output.name for output in session.get_outputs()]

    def run(pictures: NDArray[np.uint8]) -> Answers:
        step = len(pictures) if together else 1
        rows = [session.run(outputs, {name: pictures[row : row + step]}) for row in range(0, len(pictures), step)]
        return _stacked([dict(zip(outputs, row, strict=True)) for row in rows])

    return run


# OpenVINO's names of operations that only move or convert numbers.
_NO_ARITHMETIC = ("Const", "Input", "Output", "Reorder", "Reshape", "Transpose", "Convert")


class OpenVinoRunner:
    """OpenVINO on this processor, compiled for one picture, as the server does, or for another batch."""

    def __init__(self, model: Any, precision: str, batch: int = 1) -> None:
        """Compile.

        Args:
            model: an `openvino.Model`, or the path of a file that OpenVINO reads; it may be reshaped.
            precision: OpenVINO's INFERENCE_PRECISION_HINT, `f32` or `bf16`.
            batch: pictures that are computed together.
        """
        import openvino

        core = openvino.Core()
        network = core.read_model(model) if isinstance(model, str | Path) else model
        network.reshape({tensor.any_name: [batch, *list(tensor.partial_shape)[1:]] for tensor in network.inputs})
        self._compiled = core.compile_model(
            network, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
        )
        self._outputs = [output.any_name for output in self._compiled.outputs]
        self._batch = batch

    def __call__(self, pictures: NDArray[np.uint8]) -> Answers:
        """The outputs for pictures UINT8 [N,h,w,3]; N is a multiple of the batch."""
        answers = []
        for row in range(0, len(pictures), self._batch):
            outputs = self._compiled(pictures[row : row + self._batch])
            answers.append({name: np.array(outputs[name], np.float32) for name in self._outputs})
        return _stacked(answers)

    def precisions(self) -> dict[str, int]:
        """How many of the operations that are executed compute in each precision, by OpenVINO's name of it."""
        counts: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            information = node.get_rt_info()
            if "runtimePrecision" in information and information["layerType"].astype(str) not in _NO_ARITHMETIC:
                counts[information["runtimePrecision"].astype(str)] += 1
        return dict(sorted(counts.items()))


def openvino_precisions() -> tuple[str, ...]:
    """The precisions that OpenVINO can compute in on this processor, such as FP32, BF16 and INT8."""
    import openvino

    return tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _stacked(answers: Sequence[Mapping[str, NDArray[np.float32]]]) -> Answers:
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
