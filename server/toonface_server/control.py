"""Triton's model control, which this server keeps to itself, and the counts by which a stage that hangs is found."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException


@dataclass(frozen=True, slots=True)
class Key:
    """A secret of one server's life. Without it Triton refuses calls that change models.

    It stands on tritonserver's command line, so users of the same machine may see it; those of other machines cannot.
    """

    name: str = "toonface-control"
    value: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


# gRPC's own pauses between attempts to connect grow to seconds while a server starts.
_CHANNEL = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]


class Control:
    """Calls to one running tritonserver, over gRPC.

    Args:
        address: `host:port`.
        key: the one that it was started with.
    """

    def __init__(self, address: str, key: Key) -> None:
        self.client: Any = aio.InferenceServerClient(address, channel_args=_CHANNEL)
        self._headers = {f"triton-grpc-protocol-{key.name}": key.value}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    async def answers(self) -> bool:
        """Whether the server is up with all its models loaded, by its own account."""
        try:
            return bool(await self.client.is_server_ready(client_timeout=2))
        except InferenceServerException:
            return False

    async def reload(self, model: str) -> None:
        """Put a fresh instance in a model's place, while the models that use it stay available.

        Given a configuration, Triton makes new instances and swaps them in; but only one that is new to it, hence the
        parameter. A plain load does nothing when no file has changed, and an unload would take the ensembles down.

        Raises:
            InferenceServerException: the model cannot be loaded; the old one stays.
        """
        answer = await self.client.get_model_config(model, as_json=True)
        config = answer["config"]
        config.setdefault("parameters", {})["reloaded"] = {"string_value": secrets.token_hex(4)}
        await self.client.load_model(model, headers=self._headers, config=json.dumps(config))

    async def unload(self, model: str) -> None:
        """Stop admitting requests to a model. Returns at once; those accepted finish."""
        await self.client.unload_model(model, headers=self._headers)

    async def unloading(self, models: tuple[str, ...]) -> list[str]:
        """Those of the models that still have requests to finish."""
        index = await self.client.get_model_repository_index(headers=self._headers, client_timeout=5)
        return [entry.name for entry in index.models if entry.name in models and entry.state == "UNLOADING"]

    async def executions(self) -> dict[str, int]:
        """How many requests each model has finished, with an answer or an error."""
        statistics = await self.client.get_inference_statistics(client_timeout=5)
        return {
            model.name: model.inference_stats.success.count + model.inference_stats.fail.count
            for model in statistics.model_stats
        }
