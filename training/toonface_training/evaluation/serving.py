"""A server of one's own, to follow a figure to the end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toonface_contract.errors import ServerError

# More than `toonface serve` gives a server to start, by default; and what it takes to stop.
_START_SECONDS, _STOP_SECONDS = 900, 120
# Lines of the server's log to quote when it fails.
_TAIL = 12


@contextmanager
def served(repository: Path, folder: Path) -> Iterator[str]:
    """Serve a repository on a free port while the block runs.

    Args:
        repository: what `toonface export` wrote.
        folder: where the log and the gallery store go; made if need be.

    Yields:
        The gRPC address, `host:port`.

    Raises:
        ServerError: there is no `toonface` to serve with; or it ended before it was ready, or was not ready in time,
            and the message ends with its last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "server.log"
    ready.unlink(missing_ok=True)
    command: list[str | Path] = [_toonface(), "serve", "--repository", repository, "--ready-file", ready]
    command += ["--gallery-store", f"sqlite:///{folder.absolute()}/gallery.sqlite3"]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603  (our own command)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None:
                raise ServerError(f"the server ended with status {process.returncode}:\n{_last_lines(log)}")
            if time.monotonic() > deadline:
                raise ServerError(f"the server is not ready after {_START_SECONDS} s:\n{_last_lines(log)}")
            time.sleep(0.1)
        ports = json.loads(ready.read_text())
        yield f"{ports['host']}:{ports['grpc_port']}"
    finally:
        end(process, _STOP_SECONDS)


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask a process to end, and kill it if it has not within so long."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _toonface() -> str:
    """The command beside the interpreter that runs this, as in a virtual environment; or else that of the PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("toonface", path=beside) or shutil.which("toonface")
    if found is None:
        raise ServerError(f"there is no command `toonface` to serve with, neither in {beside} nor on the PATH")
    return found


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
