"""Triton's config.pbtxt, rendered from small descriptions of models that compute something.

Parameter names are those of NVIDIA's native backends, so that one file serves them and the python-based backends of the
same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from toonface_contract.names import UNASKED_PARAMETER
from toonface_export.triton_message import (
    Enum,
    Message,
    Queue,
    Tensor,
    parameter_fields,
    render,
    tensor_fields,
)

Computed = Literal["f32", "bf16", "f16", "int8"]
"""What a network computes in."""

Precision = Literal["auto", "f32", "bf16", "f16", "int8"]
"""What may be asked for."""

MODEL_FILENAME = "model.onnx"
ENGINE_FILENAME = "model.plan"
QUANTISED_FILENAME = "model.xml"


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What all models that compute something have in common.

    Attributes:
        name: of the model, and of its folder.
        inputs: its input tensors.
        outputs: its output tensors.
        max_batch_size: most rows in a batch that Triton makes of several requests; 0 for models that do not batch.
        queue: before the model. Without one requests are not counted and not batched, and also computed where their
            callers have given up. A model that does not batch had better have none, or one without limits: with them
            Triton kept requests to one waiting for 20 ms while it was idle (see `Queue`).
        instances: copies of the model that work side by side; on GPUs so many on each.
        gpu: whether they are on GPUs.
        warm_up: batches that Triton runs with blank inputs before the model counts as ready.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int
    queue: Queue | None
    instances: int = 1
    gpu: bool = False
    warm_up: tuple[int, ...] = ()

    def _common(self, backend: Message, instance_group: Message | None = None) -> Message:
        kind = Enum("KIND_GPU" if self.gpu else "KIND_CPU")
        return [
            ("name", self.name),
            *backend,
            ("max_batch_size", self.max_batch_size),
            *tensor_fields("input", self.inputs),
            *tensor_fields("output", self.outputs),
            *([("dynamic_batching", self.queue.message())] if self.queue else []),
            ("instance_group", [("count", self.instances), ("kind", kind), *(instance_group or [])]),
            *(("model_warmup", self._blank(batch)) for batch in self.warm_up),
        ]

    def _blank(self, batch: int) -> Message:
        inputs: Message = [("inputs", [("key", tensor.name), ("value", tensor.blank())]) for tensor in self.inputs]
        return [("name", f"batch {batch}"), ("batch_size", batch), *inputs]


@dataclass(frozen=True, kw_only=True)
class PythonStage(_Model):
    """A stage of Triton's python backend. `parameters` are what its model.py reads."""

    parameters: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> str:
        """The text of config.pbtxt."""
        return render([*self._common([("backend", "python")]), *parameter_fields(self.parameters)])


@dataclass(frozen=True, kw_only=True)
class _GraphModel(_Model):
    """What the backends that serve a graph as it is have in common.

    Attributes:
        threads: threads of one instance; 0 for as many as the machine has cores.
        unasked: see `UNASKED_PARAMETER`; empty for none.
    """

    threads: int = 0
    unasked: str = ""

    def _served(self, backend: str, filename: str, parameters: Mapping[str, str]) -> str:
        unasked = {UNASKED_PARAMETER: self.unasked} if self.unasked else {}
        return render(
            [
                *self._common([("backend", backend)]),
                ("default_model_filename", filename),
                *parameter_fields({**parameters, **unasked}),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeModel(_GraphModel):
    """A graph served by ONNX Runtime: on CPUs, or with CUDA on GPUs. It computes in what the graph says.

    Parameters: github.com/triton-inference-server/onnxruntime_backend, README.md, Model Config Options. The native
    backend takes CUDA for instances of the kind GPU by itself.
    """

    def config(self) -> str:
        """The text of config.pbtxt."""
        parameters = {"execution_mode": "0", "intra_op_thread_count": str(self.threads)}
        return self._served("onnxruntime", MODEL_FILENAME, parameters)


@dataclass(frozen=True, kw_only=True)
class OpenVinoModel(_GraphModel):
    """A graph served by OpenVINO on the CPU.

    Parameters: github.com/triton-inference-server/openvino_backend, README.md and src/openvino.cc. The native backend
    compiles for the largest batch alone, and needs ENABLE_BATCH_PADDING to take smaller ones. It can be asked for BF16
    (HINT_BF16) but not for F32: it passes over INFERENCE_PRECISION_HINT, OpenVINO's own name, which the python-based
    backend reads.

    Attributes:
        precision: `auto` leaves it to the backend, which takes BF16 on processors made for it. INT8 is in the quantised
            file; what is not quantised in it is computed in F32.
    """

    precision: Literal["auto", "f32", "bf16", "int8"] = "auto"

    _PRECISION: ClassVar[dict[str, dict[str, str]]] = {
        "auto": {},
        "f32": {"INFERENCE_PRECISION_HINT": "f32"},
        "bf16": {"HINT_BF16": "YES", "INFERENCE_PRECISION_HINT": "bf16"},
        "int8": {"INFERENCE_PRECISION_HINT": "f32"},
    }

    def config(self) -> str:
        """The text of config.pbtxt."""
        parameters = {
            "ENABLE_BATCH_PADDING": "YES",
            "NUM_STREAMS": "1",
            "PERFORMANCE_HINT": "LATENCY",
            **self._PRECISION[self.precision],
        }
        if self.threads:
            parameters["INFERENCE_NUM_THREADS"] = str(self.threads)
        # The native backend looks for model.xml unless told otherwise.
        filename = QUANTISED_FILENAME if self.precision == "int8" else MODEL_FILENAME
        return self._served("openvino", filename, parameters)


@dataclass(frozen=True, kw_only=True)
class TensorRtModel(_Model):
    """An engine served by TensorRT on GPUs.

    Fields: github.com/triton-inference-server/common, protobuf/model_config.proto. Of several optimisation profiles the
    backend takes, for each batch, the one whose optimum is nearest.

    Attributes:
        profiles: how many optimisation profiles the engine has.
    """

    profiles: int = 1

    def config(self) -> str:
        """The text of config.pbtxt."""
        profiles: Message = [("profile", str(number)) for number in range(self.profiles)]
        return render(
            [
                *self._common([("platform", "tensorrt_plan"), ("backend", "tensorrt")], profiles),
                ("default_model_filename", ENGINE_FILENAME),
            ]
        )
