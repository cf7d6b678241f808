"""What the Python-based backends share: a model's configuration, and requests in, answers out.

Runs inside the stub of Triton's Python backend, which alone has `triton_python_backend_utils`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from toonface_contract.errors import ToonfaceError
from toonface_contract.names import UNASKED_PARAMETER
from toonface_server import stage
from toonface_server.batching import Arrays, Run, run_alone, run_together
from toonface_server.cpus import usable_cpus

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its `config.pbtxt` describes it.

    Attributes:
        file: the model file.
        inputs: names of the inputs.
        outputs: names of the outputs.
        batches: whether the first dimension of every tensor counts rows, so that requests may share a run.
        instances: copies of the model that work side by side.
        parameters: the `parameters` of the configuration.
        config: the whole configuration.
    """

    file: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batches: bool
    instances: int
    parameters: dict[str, str]
    config: dict[str, Any]

    @classmethod
    def from_triton(cls, args: Mapping[str, str], default_file: str) -> Model:
        """The model of which Triton hands over `args` in `initialize`. Begins the stage, too.

        Args:
            args: Triton's `model_config`, `model_repository` and `model_version`, among others.
            default_file: name of the model file, where the configuration gives none.

        Raises:
            ValueError: the configuration asks for a GPU, on which these backends do not run.
        """
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] == "GPU":
            raise ValueError(
                f"model {config['name']} asks for KIND_GPU; this backend runs on the CPU: export for the target cpu, "
                "or serve in NVIDIA's container"
            )
        name = config.get("default_model_filename") or default_file
        return cls(
            file=Path(args["model_repository"]) / args["model_version"] / name,
            inputs=tuple(tensor["name"] for tensor in config["input"]),
            outputs=tuple(tensor["name"] for tensor in config["output"]),
            batches=config.get("max_batch_size", 0) > 0,
            instances=sum(group["count"] for group in config["instance_group"]),
            parameters=stage.start(args),
            config=config,
        )

    def threads(self, name: str) -> int:
        """The parameter that says how many threads an instance uses; without it, or with 0, its share of the CPUs."""
        return self.number(name) or self.share

    @property
    def share(self) -> int:
        """CPUs for each of the instances, at least one."""
        return max(1, usable_cpus() // self.instances)

    def unasked(self, request: Any) -> bool:
        """Whether nobody will look at the answer to a request, see `UNASKED_PARAMETER`."""
        option, _, value = self.parameters.get(UNASKED_PARAMETER, "").partition("=")
        return bool(option) and stage.request_parameters(request).get(option) == value

    def zeros(self, batch: Arrays) -> Arrays:
        """An answer of zeros, of as many rows as the batch has; for outputs of a fixed size."""
        rows = [len(next(iter(batch.values())))] if self.batches else []
        return {
            output["name"]: np.zeros(
                [*rows, *map(int, output["dims"])], pb_utils.triton_string_to_numpy(output["data_type"])
            )
            for output in self.config["output"]
        }

    def number(self, name: str, default: int = 0) -> int:
        """A parameter that is a whole number from 0 up.

        Raises:
            ValueError: it is something else.
        """
        text = self.parameters.get(name) or str(default)
        if not text.isdecimal():
            raise ValueError(
                f"parameter {name} of model {self.config['name']} is {text!r}; it must be a whole number, 0 or more"
            )
        return int(text)


def respond(requests: Sequence[Any], model: Model, run: Run) -> list[Any]:
    """Answer what Triton hands to one `execute`, in as few runs as the tensors' shapes allow.

    Args:
        requests: `pb_utils.InferenceRequest`, each with the model's inputs, on the CPU.
        model: the model.
        run: computes the outputs of one batch from its inputs.

    Returns:
        One `pb_utils.InferenceResponse` a request, in order; a request that fails gets an error.
    """
    batches = [_inputs(request, model) for request in requests]
    unasked = [model.unasked(request) for request in requests]
    asked = [batch for batch, nobody in zip(batches, unasked, strict=True) if not nobody]
    answers = iter(run_together(asked, run) if model.batches else [run_alone(batch, run) for batch in asked])
    return [
        stage.response(model.zeros(batch) if nobody else _reported(next(answers)))
        for batch, nobody in zip(batches, unasked, strict=True)
    ]


def _inputs(request: Any, model: Model) -> Arrays:
    arrays = ((name, stage.tensor(request, name)) for name in model.inputs)
    return {name: array for name, array in arrays if array is not None}


def _reported(answer: Arrays | Exception) -> Arrays | ToonfaceError:
    if not isinstance(answer, Exception):
        return answer
    _LOG.error("a request failed", exc_info=answer)
    return ToonfaceError("the server failed on this request; its log has the details")
