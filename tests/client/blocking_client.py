"""The asyncio client for tests that are written for the other one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

from toonface_client import AsyncToonfaceClient


class Blocking:
    """The asyncio client with methods that block, so that one test can hold both clients to the same behaviour."""

    def __init__(self, **arguments: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._make(arguments))

    @staticmethod
    async def _make(arguments: dict[str, Any]) -> AsyncToonfaceClient:
        return AsyncToonfaceClient(**arguments)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def blocking(*arguments: Any, **options: Any) -> Any:
            answer = method(*arguments, **options)
            return self._loop.run_until_complete(_collect(answer) if inspect.isasyncgen(answer) else answer)

        return blocking

    def __repr__(self) -> str:
        return repr(self._client)

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


async def _collect(answers: AsyncIterator[Any]) -> list[Any]:
    return [answer async for answer in answers]
