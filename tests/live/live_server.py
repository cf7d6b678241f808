"""Starts `toonface serve` as a user would, and stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from toonface_server.stages import StageProcess, stage_processes

CHECKOUT = Path(__file__).resolve().parents[2]
TOONFACE = Path(sys.executable).with_name("toonface")


@dataclass(frozen=True)
class Server:
    """A running `toonface serve`."""

    process: subprocess.Popen[bytes]
    grpc: str
    metrics: str
    log: Path

    def stages(self, model: str) -> list[StageProcess]:
        """The python processes of one stage."""
        children = psutil.Process(self.process.pid).children()
        (triton,) = (child for child in children if child.name().startswith("tritonserver"))
        return [stage for stage in stage_processes(triton.pid) if stage.model == model and not stage.dead]

    def stop(self) -> int:
        """Drain the server, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def start_server(repository: Path, folder: Path, *options: str, **environment: str) -> Iterator[Server]:
    """Serve `repository` on free ports, with a gallery store of its own in `folder`."""
    ready, log = folder / "ready.json", folder / "server.log"
    ready.unlink(missing_ok=True)
    command = [TOONFACE, "serve", "--repository", repository, "--ready-file", ready]
    command += ["--gallery-store", f"sqlite:///{folder}/gallery.sqlite3"]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        while not ready.exists():
            assert process.poll() is None, f"the server ended early:\n{log.read_text()}"
            time.sleep(0.1)
        ports = json.loads(ready.read_text())
        yield Server(process, f"127.0.0.1:{ports['grpc_port']}", f"127.0.0.1:{ports['metrics_port']}", log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        if os.environ.get("TOONFACE_TEST_LOG"):
            print(log.read_text())
