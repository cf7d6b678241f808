"""Triton's config.pbtxt, rendered from small descriptions of models.

The text depends on the description alone, so exporting again gives the same bytes. Field names are those of Triton's
model_config.proto; parameter names those of NVIDIA's native backends, so that one file serves them and the python-based
backends of the same names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Precision = Literal["auto", "f32", "bf16"]

# Both backends are given the same ONNX file; the native `openvino` backend looks for model.xml unless told otherwise.
MODEL_FILENAME = "model.onnx"


class _Enum(str):
    """A value written without quotes."""


# A message in protobuf's text format: field names with scalars, or with messages. A name may come several times.
_Message = list[tuple[str, "str | int | bool | tuple[int, ...] | _Message"]]


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        name: of the tensor.
        data_type: Triton's name of the type without `TYPE_`, such as `UINT8`; BYTES tensors are `STRING` here.
        dims: sizes without the batch dimension of batching models; -1 where it varies.
        optional: whether a request may leave this input out.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False

    def message(self) -> _Message:
        """The tensor as a message."""
        optional: _Message = [("optional", True)] if self.optional else []
        return [("name", self.name), ("data_type", _Enum(f"TYPE_{self.data_type}")), ("dims", self.dims), *optional]


@dataclass(frozen=True)
class Queue:
    """The bounded queue before a model.

    Attributes:
        size: waiting requests; one more is refused at once.
        timeout_us: microseconds after which a waiting request is refused; 0 is never.
        batch_delay_us: microseconds to wait for more requests before a batch is sent off that is not full.
    """

    size: int
    timeout_us: int = 0
    batch_delay_us: int = 0

    def message(self) -> _Message:
        """The queue as Triton's dynamic batcher, which also keeps the queue of models that do not batch."""
        policy: _Message = [("timeout_action", _Enum("REJECT"))]
        if self.timeout_us:
            policy.append(("default_timeout_microseconds", self.timeout_us))
        policy.append(("max_queue_size", self.size))
        delay: _Message = [("max_queue_delay_microseconds", self.batch_delay_us)] if self.batch_delay_us else []
        return [*delay, ("default_queue_policy", policy)]


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What all models that compute something have in common.

    Attributes:
        name: of the model, and of its folder.
        inputs: its input tensors.
        outputs: its output tensors.
        max_batch_size: most rows in a batch that Triton makes of several requests; 0 for models that do not batch.
        queue: before the model. Without one requests are not counted and not batched. A model that does not batch had
            better have none: Triton 2.51's batcher kept requests to one waiting for 20 ms while it was idle.
        instances: copies of the model that work side by side.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int
    queue: Queue | None
    instances: int = 1

    def _common(self, backend: str) -> _Message:
        return [
            ("name", self.name),
            ("backend", backend),
            ("max_batch_size", self.max_batch_size),
            *_tensors("input", self.inputs),
            *_tensors("output", self.outputs),
            *([("dynamic_batching", self.queue.message())] if self.queue else []),
            ("instance_group", [("count", self.instances), ("kind", _Enum("KIND_CPU"))]),
        ]


@dataclass(frozen=True, kw_only=True)
class PythonStage(_Model):
    """A stage of Triton's python backend. `parameters` are what its model.py reads."""

    parameters: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> str:
        """The text of config.pbtxt."""
        return _render([*self._common("python"), *_parameters(self.parameters)])


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeModel(_Model):
    """A graph served by ONNX Runtime, in FP32.

    Parameters: github.com/triton-inference-server/onnxruntime_backend, README.md, Model Config Options.

    Attributes:
        threads: threads of one instance; 0 for as many as the machine has cores.
    """

    threads: int = 0

    def config(self) -> str:
        """The text of config.pbtxt."""
        return _render(
            [
                *self._common("onnxruntime"),
                ("default_model_filename", MODEL_FILENAME),
                *_parameters({"execution_mode": "0", "intra_op_thread_count": str(self.threads)}),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class OpenVinoModel(_Model):
    """A graph served by OpenVINO on the CPU.

    Parameters: github.com/triton-inference-server/openvino_backend, README.md and src/openvino.cc. The native backend
    compiles for the largest batch alone, and needs ENABLE_BATCH_PADDING to take smaller ones. It can be asked for BF16
    (HINT_BF16) but not for F32: it passes over INFERENCE_PRECISION_HINT, OpenVINO's own name, which the python-based
    backend reads.

    Attributes:
        threads: threads of one instance; 0 for as many as the machine has cores.
        precision: `auto` leaves it to the backend, which takes BF16 on processors made for it.
    """

    threads: int = 0
    precision: Precision = "auto"

    _PRECISION: ClassVar[dict[Precision, dict[str, str]]] = {
        "auto": {},
        "f32": {"INFERENCE_PRECISION_HINT": "f32"},
        "bf16": {"HINT_BF16": "YES", "INFERENCE_PRECISION_HINT": "bf16"},
    }

    def config(self) -> str:
        """The text of config.pbtxt."""
        parameters = {"ENABLE_BATCH_PADDING": "YES", "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
        parameters |= self._PRECISION[self.precision]
        if self.threads:
            parameters["INFERENCE_NUM_THREADS"] = str(self.threads)
        return _render(
            [
                *self._common("openvino"),
                ("default_model_filename", MODEL_FILENAME),
                *_parameters(parameters),
            ]
        )


@dataclass(frozen=True)
class Step:
    """One model's place in an ensemble.

    Attributes:
        model: its name.
        inputs: the ensemble's tensor for each of the model's inputs.
        outputs: the ensemble's tensor for each of the model's outputs; those left out are dropped.
    """

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def message(self) -> _Message:
        """The step as a message."""
        return [
            ("model_name", self.model),
            ("model_version", -1),
            *_map("input_map", self.inputs),
            *_map("output_map", self.outputs),
        ]


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Models chained by Triton; requests to an ensemble are not batched as such, those to its steps are."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]

    def config(self) -> str:
        """The text of config.pbtxt."""
        return _render(
            [
                ("name", self.name),
                ("platform", "ensemble"),
                ("max_batch_size", 0),
                *_tensors("input", self.inputs),
                *_tensors("output", self.outputs),
                ("ensemble_scheduling", [("step", step.message()) for step in self.steps]),
            ]
        )


def _tensors(kind: str, tensors: tuple[Tensor, ...]) -> _Message:
    return [(kind, tensor.message()) for tensor in tensors]


def _map(name: str, entries: Mapping[str, str]) -> _Message:
    return [(name, [("key", key), ("value", value)]) for key, value in entries.items()]


def _parameters(parameters: Mapping[str, str]) -> _Message:
    return [
        ("parameters", [("key", key), ("value", [("string_value", value)])])
        for key, value in sorted(parameters.items())
    ]


def _render(message: _Message, indent: str = "") -> str:
    lines = []
    for name, value in message:
        if isinstance(value, list):
            lines.append(f"{indent}{name} {{\n{_render(value, indent + '  ')}{indent}}}\n")
        elif isinstance(value, _Enum):
            lines.append(f"{indent}{name}: {value}\n")
        else:
            # JSON's strings, numbers, booleans and lists of numbers are valid in protobuf's text format too.
            lines.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines)
