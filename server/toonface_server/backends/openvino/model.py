"""Serves models with OpenVINO where Triton's native `openvino` backend is missing, from the same `config.pbtxt`.

Of the native backend's settings it reads `INFERENCE_NUM_THREADS` and `HINT_BF16`
(https://github.com/triton-inference-server/openvino_backend#parameters), and besides them `INFERENCE_PRECISION_HINT`:
`auto`, `f32` or `bf16`. `NUM_STREAMS` and `PERFORMANCE_HINT` are the native backend's: this one lays out its threads by
what there is to compute, see `toonface_server.openvino_network`.

A model that batches is compiled for one row. On a CPU a batch gains nothing: compiled for any batch size, the detector
took a third more CPU for a picture and four times the memory, and every new size cost a slow first run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toonface_server.backend_support import Model, respond
from toonface_server.cpus import usable_cpus
from toonface_server.openvino_network import OpenVinoNetwork


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model file."""
        self._model = Model.from_triton(args, default_file="model.xml")
        self._network = open_network(self._model)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests."""
        return respond(requests, self._model, self._network.run)


def open_network(model: Model) -> OpenVinoNetwork:
    """The model's network.

    Raises:
        ValueError: a parameter has no value that this backend knows.
    """
    precision = model.parameters.get("INFERENCE_PRECISION_HINT", "auto").lower()
    if model.parameters.get("HINT_BF16", "").lower() == "yes":
        precision = "bf16"
    threads = model.number("INFERENCE_NUM_THREADS")
    return OpenVinoNetwork(
        model.file,
        model.outputs,
        batches=model.batches,
        threads=threads or usable_cpus(),
        precision=precision,
        share=threads or model.share,
    )
