"""One tritonserver process: its command line, its output, and its end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toonface_contract.errors import ServerError
from toonface_contract.names import TOKEN_HEADER
from toonface_server.control import Key
from toonface_server.logs import Line, parse
from toonface_server.preflight import Ports
from toonface_server.repository import Repository
from toonface_server.runtime import Runtime
from toonface_server.stages import stage_processes

# How long tritonserver itself waits for its models to unload. Nothing is in flight then: drain.py has seen to that.
EXIT_SECONDS = 15
# It waits all that time for a stage that has died once, but looks every second whether the others are gone.
_LAST_LOOK_SECONDS = 2.5
# A stage may read a large gallery before it answers for the first time.
STUB_START_SECONDS = 300

# Parts of Triton's own protocol that only this package may use: whoever may load a model may run any code as this user.
_RESTRICTED = "model-repository,trace,logging"
_RESTRICTED_FROM_OUTSIDE = f"{_RESTRICTED},shared-memory"

_LOOK_SECONDS = 0.1
_KILL_SECONDS = 3.0
_CHUNK = 64 * 1024
_LONGEST_LINE = 1024 * 1024
_LAST_LINES = 20
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class Launch:
    """What one tritonserver is started with.

    Attributes:
        executable: the binary.
        backends: folder for `--backend-directory`.
        repository: the models, all of which are loaded.
        host: IPv4 address to listen on.
        ports: to listen on.
        loopback: whether only this machine can reach `host`.
        key: what calls that load and unload models must carry.
        environment: of the process.
    """

    executable: Path
    backends: Path
    repository: Repository
    host: str
    ports: Ports
    loopback: bool
    key: Key
    environment: Mapping[str, str]

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""
        return tuple(self.repository.configs)

    @property
    def _version_compatible(self) -> bool:
        """Whether an engine brings code of its own, for later versions: Triton loads such only where it is told to."""
        return any(engine is not None and engine.version_compatible for engine in self.repository.engines.values())

    def command(self, region_prefix: str) -> list[str]:
        """The command line; the names of shared-memory regions start with `region_prefix`."""
        restricted = f"{_RESTRICTED if self.loopback else _RESTRICTED_FROM_OUTSIDE}:{self.key.name}={self.key.value}"
        forwarded = f"(?i){TOKEN_HEADER}|x-.*"
        options = {
            "model-repository": self.repository.path,
            "backend-directory": self.backends,
            "model-control-mode": "explicit",
            "grpc-address": self.host,
            "grpc-port": self.ports.grpc,
            "grpc-header-forward-pattern": forwarded,
            "grpc-restricted-protocol": restricted,
            "http-address": self.host,
            "http-port": self.ports.http,
            "http-header-forward-pattern": forwarded,
            "http-restricted-api": restricted,
            "metrics-address": self.host,
            "metrics-port": self.ports.metrics,
            "exit-timeout-secs": EXIT_SECONDS,
        }
        return [
            str(self.executable),
            *(f"--{name}={value}" for name, value in options.items()),
            # The exporter writes complete configurations, and completing them starts every stage twice.
            "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={region_prefix}",
            f"--backend-config=python,stub-timeout-seconds={STUB_START_SECONDS}",
            *(["--backend-config=tensorrt,version-compatible=true"] if self._version_compatible else []),
            *(f"--load-model={model}" for model in self.models),
        ]


class Triton:
    """A running tritonserver.

    It leads a process group of its own, so that a Ctrl-C in the terminal does not reach it, and nothing of it stays
    behind.
    """

    def __init__(self, process: asyncio.subprocess.Process, on_line: Callable[[Line], None]) -> None:
        self._process = process
        self._on_line = on_line
        self._last_lines: deque[Line] = deque(maxlen=_LAST_LINES)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, launch: Launch, runtime: Runtime, on_line: Callable[[Line], None]) -> Triton:
        """Start the process; `on_line` gets each line of its output.

        When the process that called this dies, the kernel sends tritonserver a SIGTERM, so that it ends as well.
        """
        process = await asyncio.create_subprocess_exec(
            *launch.command(runtime.region_prefix),
            env=launch.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            # With SIGPIPE ignored, as Python has it, its clean-up outlives the reader of its output.
            restore_signals=False,
            preexec_fn=_end_with_parent(os.getpid()),
            pass_fds=(runtime.lock,),
        )
        return cls(process, on_line)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    async def died(self) -> None:
        """Wait for the process to end by itself.

        Raises:
            ServerError: always, when it has; with its errors, or its last lines.
        """
        status = await self._ended()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        lines = [line for line in self._last_lines if line.level == "error"] or list(self._last_lines)
        said = "\n  ".join(line.message for line in lines) or "(nothing)"
        advice = next((f"\nwhat to do: {line.remedy}" for line in lines if line.remedy), "")
        raise ServerError(f"tritonserver {how}. It said last:\n  {said}{advice}")

    async def stop(self, seconds: float) -> bool:
        """SIGTERM, and SIGKILL to the whole group when `seconds` have passed, or its stages have all ended.

        Returns:
            Whether every stage ended by itself.
        """
        if self._process.returncode is None:
            self._process.terminate()
        ending = [asyncio.create_task(self._ended()), asyncio.create_task(self._stages_ended())]
        done, waiting = await asyncio.wait(ending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await self._ended_with_group()
        return bool(done)

    async def _stages_ended(self) -> None:
        while stage_processes(self.pid):
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(_LAST_LOOK_SECONDS)

    async def _ended(self) -> int:
        # asyncio's own `wait` ends only when its output is closed as well, which stages that outlive it keep open.
        while (status := self._process.returncode) is None:
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.wait([self._reading], timeout=1)
        return status

    async def _ended_with_group(self) -> None:
        """Kill what is left of the process group, and wait until it is gone, or left to its new parent to collect."""
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                while True:
                    os.killpg(self.pid, signal.SIGKILL)
                    await asyncio.sleep(_LOOK_SECONDS)
        except (ProcessLookupError, TimeoutError):
            await self._ended()

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  (asked for in `start`)
        pending = b""
        while chunk := await self._process.stdout.read(_CHUNK):
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > _LONGEST_LINE:
                lines, pending = [*lines, pending], b""
            for raw in lines:
                self._pass_on(parse(raw.decode(errors="replace")))

    def _pass_on(self, line: Line | None) -> None:
        if line is None:
            return
        if not line.noise:
            self._last_lines.append(line)
        self._on_line(line)


def _end_with_parent(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def run_in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before the call above

    return run_in_child
