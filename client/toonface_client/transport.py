"""Sends calls from threads: the channel, retries, shared memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from toonface_client.calls import Call
from toonface_client.connection import Connection
from toonface_client.failures import failure_from
from toonface_client.retry import Attempts, RetryPolicy
from toonface_client.shared_memory import Region, Regions
from toonface_contract.errors import ToonfaceError, Unavailable

T = TypeVar("T")

# A server answers a call a moment before it lets go of the call's memory. One that does not unmap memory in this time
# hangs, or goes on with a call that was given up, and is not waited for any longer.
UNREGISTER_SECONDS = 1.0
UNREGISTER_PAUSE = 0.02


class Transport:
    """One channel to one server. Safe to use from several threads.

    Args:
        connection: where the server is.
        timeout: seconds for calls that do not set their own.
        retry: how calls are tried again.
        shared_memory: whether pictures go through shared memory.
    """

    def __init__(self, connection: Connection, timeout: float, retry: RetryPolicy, *, shared_memory: bool) -> None:
        self.address = connection.address
        self.triton = tritonclient.grpc.InferenceServerClient(**connection.client_arguments())
        self._connection = connection
        self._timeout = timeout
        self._retry = retry
        self._regions = Regions() if shared_memory else None

    def close(self) -> None:
        """Frees the shared memory and closes the channel."""
        if self._regions is not None:
            give_up = time.monotonic() + UNREGISTER_SECONDS
            self._discard(self._regions)
            while self._regions.in_use and time.monotonic() < give_up:
                time.sleep(UNREGISTER_PAUSE)
                self._discard(self._regions)
        self.triton.close()

    def run(self, call: Call[T], timeout: float | None) -> T:
        """Sends an inference call until it is answered, or shall not be tried again.

        Raises:
            ToonfaceError: what the last try brought.
        """
        seconds = self._timeout if timeout is None else timeout
        attempts = Attempts(self._retry, seconds, writes=call.writes)
        headers = self._connection.headers_for(model=True)
        while True:
            try:
                with self._arguments(call, headers, attempts.remaining()) as arguments:
                    result = self.triton.infer(**arguments, headers=headers, client_timeout=attempts.remaining())
                return call.read(result)
            except InferenceServerException as exception:
                failure = failure_from(exception, self.address, seconds, writes=call.writes)
                pause = attempts.pause_after(failure)
                if pause is None:
                    raise failure.error from exception
            time.sleep(pause)

    def ask(self, question: Callable[..., T], *arguments: Any, timeout: float | None = None) -> T:
        """One try of a call in which no model takes part, such as `triton.is_server_live`.

        Raises:
            ToonfaceError: what the try brought.
        """
        seconds = self._timeout if timeout is None else timeout
        headers = self._connection.headers_for(model=False)
        try:
            return question(*arguments, headers=headers, client_timeout=seconds)
        except InferenceServerException as exception:
            raise failure_from(exception, self.address, seconds).error from exception

    @contextmanager
    def _arguments(self, call: Call[Any], headers: dict[str, str], timeout: float) -> Iterator[dict[str, Any]]:
        """The call's arguments for one try, with the picture in shared memory where that is wanted."""
        if self._regions is None or call.image is None:
            yield call.arguments()
            return
        region = self._regions.take(call.image)
        try:
            if not region.registered:
                self.triton.register_system_shared_memory(
                    region.name, region.key, region.size, headers=headers, client_timeout=timeout
                )
                region.registered = True
            yield call.arguments_with(region.tensor())
        except BaseException:
            self._discard(self._regions, region)
            raise
        self._regions.give_back(region)

    def _discard(self, regions: Regions, region: Region | None = None) -> None:
        """Frees regions here and has the server unmap them; what it cannot do now is tried again the next time."""
        for name in regions.discard(region):
            try:
                self.ask(self.triton.unregister_system_shared_memory, name, timeout=UNREGISTER_SECONDS)
            except Unavailable:
                pass  # A server that is gone has forgotten it.
            except ToonfaceError:
                regions.still_in_use(name)
