"""Requests that show whether the server answers, rather than whether it says that it would."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tritonclient.grpc import InferInput, model_config_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from toonface_contract.admin import ListGalleries
from toonface_contract.errors import from_wire
from toonface_contract.names import FACE_RECOGNITION, GALLERY_ADMIN

_SIDE = 64

_DEAD_STAGE = re.compile(r"Stub process '(?P<instance>[^']+)' is not healthy")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one canary request.

    Attributes:
        kind: `right`: it was answered. `refused`: the queue is full or the request ran out of time, which may be load
            as well as a stage that hangs. `hangs`: it was found to be that. `dead`: Triton says that a stage's process
            has died, or gave no sign of life for a second. `wrong`: anything else.
        message: the answer's error; empty when right.
        stage: the model that is dead or hangs.
    """

    kind: Literal["right", "refused", "hangs", "dead", "wrong"]
    message: str = ""
    stage: str = ""


class Canary:
    """One request, to be repeated.

    Args:
        client: a `tritonclient.grpc.aio.InferenceServerClient`.
        model: the model to ask.
        inputs: its input tensors by name.
        patience: how many times as long as others this model may take before it counts as hanging.
    """

    def __init__(self, client: Any, model: str, inputs: Mapping[str, NDArray[Any]], patience: float = 1.0) -> None:
        self.model = model
        self.patience = patience
        self._client = client
        self._inputs = [_tensor(name, array) for name, array in inputs.items()]

    async def ask(self, seconds: float) -> Verdict:
        """Send the request, and wait at most so long for its answer.

        An error with a code of toonface's own comes from the stage that was asked last, such as a gallery that does not
        exist yet: the server works.
        """
        try:
            await self._client.infer(self.model, self._inputs, client_timeout=seconds)
        except InferenceServerException as error:
            return _judge(str(error.status()), error.message())
        return Verdict("right")


def canaries(client: Any, models: Collection[str]) -> list[Canary]:
    """The canaries for a server of these models: a grey picture to recognise, and a look at the list of galleries."""
    picture = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (127, 127, 127)).save(picture, "PNG")
    command = json.dumps(ListGalleries().model_dump()).encode()
    known = [
        Canary(client, FACE_RECOGNITION, {"image": _string(picture.getvalue())}),
        # Behind a large gallery that is being written, the list has to wait.
        Canary(client, GALLERY_ADMIN, {"command": _string(command)}, patience=10),
    ]
    return [canary for canary in known if canary.model in models]


def stage_canary(client: Any, model: str, config: Any) -> Canary:
    """A request of zeros to one stage alone. Whether it answers or refuses them, it does not hang.

    Args:
        client: a `tritonclient.grpc.aio.InferenceServerClient`.
        model: the stage.
        config: its `ModelConfig` message.
    """
    inputs = {}
    for tensor in config.input:
        shape = [1] * (config.max_batch_size > 0) + [max(size, 1) for size in tensor.dims]
        kind = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
        if not tensor.optional:
            inputs[tensor.name] = _string(b"") if kind == "STRING" else np.zeros(shape, triton_to_np_dtype(kind))
    return Canary(client, model, inputs)


def _tensor(name: str, array: NDArray[Any]) -> InferInput:
    tensor = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def _string(content: bytes) -> NDArray[Any]:
    return np.array([content], dtype=np.object_)


def _judge(status: str, message: str) -> Verdict:
    dead = _DEAD_STAGE.search(message)
    if dead:
        return Verdict("dead", message, dead["instance"].rsplit("_", 2)[0])
    if "DEADLINE_EXCEEDED" in status or "Exceeds maximum queue size" in message or "Request timeout expired" in message:
        return Verdict("refused", message)
    coded = from_wire(message)
    if coded is not None and coded.code != "internal":
        return Verdict("right", message)
    return Verdict("wrong", message)
