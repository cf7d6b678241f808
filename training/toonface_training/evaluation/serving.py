"""A server of one's own, to follow a figure to the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toonface_contract.errors import ServerError

_TOONFACE = Path(sys.executable).with_name("toonface")
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
        ServerError: it ended before it was ready; the message ends with its last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "server.log"
    ready.unlink(missing_ok=True)
    command: list[str | Path] = [_TOONFACE, "serve", "--repository", repository, "--ready-file", ready]
    command += ["--gallery-store", f"sqlite:///{folder.absolute()}/gallery.sqlite3"]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603  (our own command)
    try:
        while not ready.exists():
            if process.poll() is not None:
                said = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
                raise ServerError(f"the server ended with status {process.returncode}:\n{said}")
            time.sleep(0.1)
        ports = json.loads(ready.read_text())
        yield f"{ports['host']}:{ports['grpc_port']}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
