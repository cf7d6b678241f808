"""A server of one's own to measure: started on free ports, its gallery enrolled from the demo's list."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psutil

from toonface_contract.errors import ServerError
from toonface_server.stages import stage_processes

TOONFACE = Path(sys.executable).with_name("toonface")

# Engines load slowly; and a server drains for 30 s before it ends.
_START_SECONDS = 300.0
_STOP_SECONDS = 60.0
_LOG_LINES = 20


@dataclass(frozen=True)
class Served:
    """A running `toonface serve`.

    Attributes:
        process: of the command; tritonserver and the stages are below it.
        address: of the gRPC endpoint.
        gallery_url: SQLAlchemy URL of its gallery store.
        seconds: from the start of the command until it said that it is ready.
    """

    process: subprocess.Popen[bytes]
    address: str
    gallery_url: str
    seconds: float

    def memory(self) -> int:
        """Bytes of memory of all the server's processes; what they share counts once (PSS)."""
        parent = psutil.Process(self.process.pid)
        processes = [parent, *parent.children(recursive=True)]
        return sum(int(process.memory_full_info().pss) for process in processes)

    def processes(self) -> dict[str, psutil.Process]:
        """The command's, tritonserver's and each stage's process by name; instances of a stage are numbered.

        Raises:
            ServerError: tritonserver has ended.
        """
        try:
            parent = psutil.Process(self.process.pid)
            triton = next((child for child in parent.children() if child.name().startswith("triton")), None)
        except psutil.NoSuchProcess:
            triton = None
        if triton is None:
            raise ServerError("tritonserver has ended")
        found = {"toonface serve": parent, "tritonserver": triton}
        stages = sorted(stage_processes(triton.pid), key=lambda each: (each.model, each.process.pid))
        for model, instances in groupby(stages, key=lambda each: each.model):
            found |= {f"{model} {number}": each.process for number, each in enumerate(instances, start=1)}
        return found


@contextmanager
def serving(repository: Path, folder: Path) -> Iterator[Served]:
    """Serve `repository` with everything it writes in `folder`, and stop it at the end.

    Raises:
        ServerError: it ended before it was ready, or was not ready in time; the message names its log, and ends with
            the last lines of that.
    """
    ready, log = folder / "ready.json", folder / "server.log"
    gallery_url = f"sqlite:///{folder.absolute()}/gallery.sqlite3"
    command: list[str | Path] = [
        TOONFACE,
        "serve",
        "--repository",
        repository,
        "--gallery-store",
        gallery_url,
        "--ready-file",
        ready,
    ]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    # The server's own canary requests would be counted as ours; one an hour comes too late for that.
    command += ["--canary-seconds", "3600"]
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise ServerError(f"toonface serve ended with status {process.returncode}; {_end_of(log)}")
            if time.perf_counter() - start > _START_SECONDS:
                raise ServerError(f"toonface serve was not ready within {_START_SECONDS:g} s; {_end_of(log)}")
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        ports = json.loads(ready.read_text())
        yield Served(process, f"{ports['host']}:{ports['grpc_port']}", gallery_url, seconds)
    finally:
        _end(process)


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"its log {log} ends with:", *(lines[-_LOG_LINES:] or ["(nothing)"])])


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and after a while SIGKILL to the server and all below it; tritonserver leads a group of its own."""
    if process.poll() is not None:
        return
    below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        for each in below:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def enrol(address: str, gallery: str, gallery_list: Path) -> None:
    """Build `gallery` from all of a PaddleX gallery list, replacing the one that is there.

    To an embedder with random parameters all faces are alike, so no picture's quality is judged.

    Raises:
        ServerError: a picture of it could not be enrolled, or none; the message ends with what was said of that.
    """
    command: list[str | Path] = [TOONFACE, "gallery", "build", gallery, gallery_list, "--replace", "--no-gate"]
    command += ["--address", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-_LOG_LINES:])
        raise ServerError(f"gallery {gallery} could not be enrolled from {gallery_list}:\n{said}")


@contextmanager
def serving_gallery(repository: Path, gallery: str, gallery_list: Path) -> Iterator[Served]:
    """A server of its own with `gallery` enrolled, for as long as the block lasts; see `serving` and `enrol`."""
    with tempfile.TemporaryDirectory() as scratch, serving(repository, Path(scratch)) as server:
        enrol(server.address, gallery, gallery_list)
        yield server
