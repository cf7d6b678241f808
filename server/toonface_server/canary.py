"""Requests that show whether the server answers, rather than whether it says that it would."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

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
            as well as a stage that hangs. `dead`: a stage's process has died or does not react. `wrong`: anything else.
        message: the answer's error; empty when right.
        stage: the dead stage's model.
    """

    kind: Literal["right", "refused", "dead", "wrong"]
    message: str = ""
    stage: str = ""


class Canary:
    """One request, to be repeated.

    Args:
        client: a `tritonclient.grpc.aio.InferenceServerClient`.
        model: the model to ask.
        name: its input, of one element.
        content: what the input holds.
    """

    def __init__(self, client: Any, model: str, name: str, content: bytes) -> None:
        self.model = model
        self._client = client
        self._input = InferInput(name, [1], "BYTES")
        self._input.set_data_from_numpy(np.array([content], dtype=np.object_))

    async def ask(self, seconds: float) -> Verdict:
        """Send the request, and wait at most so long for its answer.

        An error with a code of toonface's own comes from the stage that was asked last, such as a gallery that does not
        exist yet: the server works.
        """
        try:
            await self._client.infer(self.model, [self._input], client_timeout=seconds)
        except InferenceServerException as error:
            return _judge(str(error.status()), error.message())
        return Verdict("right")


def canaries(client: Any, models: tuple[str, ...]) -> list[Canary]:
    """The canaries for a server of these models: a grey picture to recognise, and a look at the list of galleries."""
    picture = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (127, 127, 127)).save(picture, "PNG")
    known = [
        Canary(client, FACE_RECOGNITION, "image", picture.getvalue()),
        Canary(client, GALLERY_ADMIN, "command", json.dumps(ListGalleries().model_dump()).encode()),
    ]
    return [canary for canary in known if canary.model in models]


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
