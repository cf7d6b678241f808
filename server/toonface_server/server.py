"""A server's life: look before starting, start, wait for the first right answer, keep healthy, drain."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from typing import Any

from toonface_contract.errors import ServerError
from toonface_contract.names import ACCESS_FILE_ENV, ADMIN_TOKEN_ENV, GALLERY_INDEX_ENV, GALLERY_URL_ENV
from toonface_server import binary, preflight
from toonface_server.canary import Canary, canaries
from toonface_server.control import Control, Key
from toonface_server.drain import drain
from toonface_server.engines import check_engines, this_machine
from toonface_server.events import ReadyFile, Reporter
from toonface_server.keeper import Keeper
from toonface_server.options import ServeOptions
from toonface_server.repository import open_repository
from toonface_server.runtime import Runtime, runtime_folder
from toonface_server.shared_memory import check_shared_memory, shared_memory_need
from toonface_server.triton import EXIT_SECONDS, Launch, Triton

_LOOK_SECONDS = 0.1
_FIRST_ANSWER_SECONDS = 10.0
_HURRIED_EXIT_SECONDS = 2.0
# The C library's allocator would give the memory of each picture back to the system, and take it again, page by page,
# for the next: 600 page faults a request. Larger tensors than 32 MB still go back at once.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}


def serve(options: ServeOptions, reporter: Reporter) -> None:
    """Serve a repository until SIGTERM or SIGINT, then drain.

    Args:
        options: what to serve, and how.
        reporter: told what happens.

    Raises:
        ConfigError: an option is wrong.
        ServerError: the server cannot start, or stopped working and has to be started anew.
    """
    asyncio.run(_serve(options, reporter))


async def _serve(options: ServeOptions, reporter: Reporter) -> None:
    began = time.monotonic()
    stop = _StopSignals()
    with runtime_folder() as runtime:
        launch = _prepare(options, reporter, runtime)
        reporter.event("starting", f"starting {launch.executable} over {launch.repository.path}")
        triton = await Triton.start(launch, runtime, reporter.line)
        ready_file = ReadyFile(options.ready_file, {"host": options.host, **launch.ports.as_dict(), "pid": os.getpid()})
        exit_seconds = _HURRIED_EXIT_SECONDS
        try:
            async with Control(f"{options.host}:{launch.ports.grpc}", launch.key) as control:
                asked = canaries(control.client, launch.models)
                starting = _right_answers(control, asked, options.start_seconds)
                if await _first(starting, stop.once(), triton.died()):
                    # Before clients are told: a stage that dies unseen by the keeper would not be repaired.
                    keeper = Keeper(triton.pid, control, launch.repository, reporter, ready_file.set)
                    ready_file.set(True)
                    reporter.ready(options.host, launch.ports.as_dict(), time.monotonic() - began)
                    keeping = keeper.keep(asked, options.canary_seconds, options.hang_seconds)
                    await _first(keeping, stop.once(), triton.died())
                    ready_file.set(False)
                    draining = drain(control, launch.models, reporter, options.drain_seconds)
                    if await _first(draining, stop.twice(), triton.died()):
                        exit_seconds = EXIT_SECONDS + 5.0
        finally:
            ready_file.set(False)
            if not await triton.stop(exit_seconds):
                message = f"the stages did not end within {exit_seconds:g} s and were killed"
                reporter.event("killed", message, level="warning")
    reporter.event("stopped", "stopped")


def _prepare(options: ServeOptions, reporter: Reporter, runtime: Runtime) -> Launch:
    preflight.check_access(options)
    preflight.check_gallery(options.gallery_url, options.repository)
    repository = open_repository(options.repository.absolute())
    installation = binary.find_installation()
    preflight.check_backends(repository, installation)
    if repository.engines:
        check_engines(repository.engines, this_machine(), str(repository.path))
    binary.check_stub(installation)
    warning = check_shared_memory(shared_memory_need(repository, {"python", *binary.missing_backends(installation)}))
    if warning:
        reporter.event("shared_memory", warning, level="warning")
    environment = binary.server_environment(installation)
    environment[GALLERY_URL_ENV] = options.gallery_url
    # FAISS's threads would wait for one another busily: on a busy machine, indices took eight times as long to build.
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    for name, value in _MALLOC.items():
        environment.setdefault(name, value)
    environment.setdefault(GALLERY_INDEX_ENV, str(options.repository.absolute().parent / "gallery.index"))
    environment[ADMIN_TOKEN_ENV] = options.admin_token
    environment[ACCESS_FILE_ENV] = str(options.access_file.absolute()) if options.access_file else ""
    return Launch(
        executable=installation.executable,
        backends=binary.backend_directory(installation, runtime.folder / "backends"),
        repository=repository,
        host=options.host,
        ports=preflight.claim_ports(options),
        loopback=options.loopback,
        key=Key(),
        environment=environment,
    )


async def _right_answers(control: Control, asked: list[Canary], seconds: float) -> bool:
    """Wait until every canary request has been answered once. True, then."""
    message = "it does not accept requests"
    try:
        async with asyncio.timeout(seconds):
            while not await control.answers():
                await asyncio.sleep(_LOOK_SECONDS)
            for canary in asked:
                while (verdict := await canary.ask(_FIRST_ANSWER_SECONDS)).kind != "right":
                    message = f"{canary.model} answers: {verdict.message}"
                    await asyncio.sleep(_LOOK_SECONDS)
        return True
    except TimeoutError:
        raise ServerError(
            f"tritonserver gave no right answer within {seconds:g} s: {message}. "
            "If the models need longer to load, raise --start-seconds"
        ) from None


async def _first(*coroutines: Coroutine[Any, Any, Any]) -> Any:
    """Run all, until the first ends; cancel the others. Returns what it returned, or raises what it raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return [await task for task in done][0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _StopSignals:
    """SIGTERM and SIGINT, counted."""

    def __init__(self) -> None:
        self._once = asyncio.Event()
        self._twice = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    async def once(self) -> None:
        """Wait for the first."""
        await self._once.wait()

    async def twice(self) -> None:
        """Wait for the second."""
        await self._twice.wait()

    def _received(self) -> None:
        (self._twice if self._once.is_set() else self._once).set()
