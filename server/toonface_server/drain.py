"""The orderly end: admit nothing more, let what was accepted finish, then stop tritonserver."""

from __future__ import annotations

import asyncio

from tritonclient.utils import InferenceServerException

from toonface_contract.names import ENTRY_MODELS
from toonface_server.control import Control
from toonface_server.events import Reporter

_LOOK_SECONDS = 0.1


async def drain(control: Control, models: tuple[str, ...], reporter: Reporter, seconds: float) -> bool:
    """Unload the models that clients call, and wait until the requests that they had accepted are finished.

    Args:
        control: calls to the server.
        models: the models it serves.
        reporter: told how it went.
        seconds: how long to wait at most.

    Returns:
        Whether every request finished.
    """
    entries = tuple(model for model in ENTRY_MODELS if model in models)
    waiting: list[str] = list(entries)
    try:
        async with asyncio.timeout(seconds):
            for model in entries:
                await control.unload(model)
            reporter.event("draining", f"draining: no new requests, up to {seconds:g} s for those accepted")
            while waiting := await control.unloading(entries):
                await asyncio.sleep(_LOOK_SECONDS)
    except (TimeoutError, InferenceServerException) as error:
        reason = f"{seconds:g} s have passed" if isinstance(error, TimeoutError) else error.message()
        reporter.event("drain_cut", f"{', '.join(waiting)} did not finish: {reason}", level="warning", models=waiting)
        return False
    reporter.event("drained", "every accepted request is finished")
    return True
