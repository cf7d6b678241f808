"""How a server is."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from toonface_contract.errors import ToonfaceError
from toonface_contract.names import ENTRY_MODELS


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model that is loaded, and the requests that it has answered and failed since."""

    name: str
    version: str
    answered: int
    failed: int


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server says of itself, and whether it really answers.

    Attributes:
        address: of the server.
        version: of tritonserver.
        live: what Triton says; it goes on saying so when a stage has died.
        ready: what Triton says.
        models: those that are loaded, by name.
        round_trip_ms: time of a call that does nothing, in milliseconds.
        recognition_ms: time of recognising a blank picture, in milliseconds; None when that failed.
        recognition_error: why it failed.
    """

    address: str
    version: str
    live: bool
    ready: bool
    models: tuple[ModelStatus, ...]
    round_trip_ms: float
    recognition_ms: float | None
    recognition_error: ToonfaceError | None

    @property
    def healthy(self) -> bool:
        """Whether the server recognises pictures and has all its entry models."""
        serving = {model.name for model in self.models}
        return self.ready and self.recognition_error is None and serving.issuperset(ENTRY_MODELS)

    def as_dict(self) -> dict[str, Any]:
        """The status for JSON."""
        error = self.recognition_error
        return {
            "address": self.address,
            "healthy": self.healthy,
            "live": self.live,
            "ready": self.ready,
            "version": self.version,
            "round_trip_ms": round(self.round_trip_ms, 2),
            "recognition_ms": self.recognition_ms and round(self.recognition_ms, 2),
            "recognition_error": error and {"code": error.code, "message": error.message},
            "models": [
                {"name": each.name, "version": each.version, "answered": each.answered, "failed": each.failed}
                for each in self.models
            ],
        }


def parse_models(statistics: Any) -> tuple[ModelStatus, ...]:
    """The loaded models, by name, from Triton's statistics.

    Its repository index would name the others too, but belongs to the protocol that loads and unloads models, which
    `toonface serve` keeps to itself.
    """
    found = (
        ModelStatus(each.name, each.version, each.inference_stats.success.count, each.inference_stats.fail.count)
        for each in statistics.model_stats
    )
    return tuple(sorted(found, key=lambda model: model.name))


def failed_canary(error: ToonfaceError) -> ToonfaceError | None:
    """What the error of a recognition says of the server's health.

    That the default gallery does not exist, or needs a token, is an answer of the last stage: the whole chain is well.
    """
    return None if error.code in ("gallery_not_found", "permission_denied") else error


@cache
def blank_picture() -> bytes:
    """An encoded grey picture of 64 x 64 pixels, with no face in it."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, "PNG")
    return buffer.getvalue()
