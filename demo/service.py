"""A `toonface serve` of the demo's own: free ports, its own gallery store, stopped at the end whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOONFACE = Path(sys.executable).with_name("toonface")
# The server waits up to 30 s for requests that are under way, and then for tritonserver to end.
_STOP_SECONDS = 60


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


@contextmanager
def served(repository: Path, folder: Path) -> Iterator[str]:
    """Serve `repository` while the block runs; gives the gRPC address, `host:port`.

    Args:
        repository: what `toonface export` wrote.
        folder: where the ready file, the log and the gallery store go.

    Raises:
        DemoFailed: the server did not become ready, or did not drain; the message ends with its last lines.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))  # so that the server is stopped then, too
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "server.log"
    ready.unlink(missing_ok=True)
    command: list[str | Path] = [TOONFACE, "serve", "--repository", repository, "--ready-file", ready]
    command += ["--gallery-store", f"sqlite:///{folder}/gallery.sqlite3"]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    with log.open("wb") as output:
        # A process group of its own: Ctrl-C then reaches the demo alone, which stops the server once, gently.
        server = subprocess.Popen(command, stdout=output, stderr=output, process_group=0)  # noqa: S603
    try:
        while not ready.exists():
            if server.poll() is not None:
                raise DemoFailed(f"the server ended before it was ready:\n{_tail(log)}")
            time.sleep(0.1)
        listening = json.loads(ready.read_text(encoding="utf-8"))
        yield f"{listening['host']}:{listening['grpc_port']}"
    finally:
        _stop(server)
    if server.returncode != 0:
        raise DemoFailed(f"the server did not drain, and ended with {server.returncode}:\n{_tail(log)}")


def run_toonface(*arguments: str | Path) -> None:
    """Run a `toonface` command; its output goes to the terminal.

    Raises:
        DemoFailed: it did not end with 0.
    """
    done = subprocess.run([TOONFACE, *arguments], check=False)  # noqa: S603
    if done.returncode != 0:
        raise DemoFailed(f"toonface {' '.join(map(str, arguments))} ended with {done.returncode}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(_STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        server.kill()
        server.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
