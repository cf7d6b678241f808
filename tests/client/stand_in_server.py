"""Starts NVIDIA's tritonserver over the stand-in repository, stops it, and makes pictures for it."""

import contextlib
import io
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from toonface_server.binary import backend_directory, find_installation, server_environment

# Makes clients of the stand-in; see the fixture `connect`.
Connect = Callable[..., Any]

STAND_IN = Path(__file__).with_name("stand_in")
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def model_repository(folder: Path) -> Path:
    """The stand-in's models, each with its own copy of the code: the stub ignores PYTHONPATH."""
    shutil.copytree(STAND_IN / "repository", folder)
    for version in folder.glob("*/1"):
        shutil.copy(STAND_IN / "stand_in_models.py", version)
    return folder


@contextlib.contextmanager
def tritonserver(folder: Path, *arguments: str, port: int | None = None) -> Iterator[str]:
    """The address of a running server over the stand-in, whose files go into a folder within `folder`."""
    port = port or free_port()
    run = Path(tempfile.mkdtemp(dir=folder))
    installation = find_installation()
    backends, repository = backend_directory(installation, run / "backends"), model_repository(run / "repository")
    prefix = f"toonface-stand-in-{port}-"
    command = [
        str(installation.executable),
        *("--model-repository", str(repository), "--backend-directory", str(backends)),
        *("--model-control-mode", "explicit", "--load-model", "*"),
        *("--grpc-address", "127.0.0.1", "--grpc-port", str(port)),
        *("--allow-http", "false", "--allow-metrics", "false", "--exit-timeout-secs", "3"),
        *("--grpc-header-forward-pattern", "authorization|x-.*"),
        *("--backend-config", f"python,shm-region-prefix-name={prefix}"),
        *arguments,
    ]
    with open(run / "log", "w") as log:
        process = subprocess.Popen(command, env=server_environment(installation), stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port, process, run / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # What stages leave that died or were killed.
        for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108
            region.unlink()


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """tritonserver opens its port after its models are loaded."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"tritonserver did not start:\n{log.read_text()[-4000:]}")


def picture(faces: int = 2, *, padding: int = 0, size: tuple[int, int] = (64, 32)) -> bytes:
    """A picture in which the stand-in finds so many faces, and answers with so many columns of padding."""
    image = Image.new("RGB", size, (90, 120, 150))
    image.putpixel((0, 0), (faces, padding, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
