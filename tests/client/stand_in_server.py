"""Starts NVIDIA's tritonserver over the stand-in repository, stops it, and makes pictures for it."""

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

# Makes clients of the stand-in; see the fixture `connect`.
Connect = Callable[..., Any]

STAND_IN = Path(__file__).with_name("stand_in")
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
TRITON = SITE_PACKAGES / "pytriton" / "tritonserver"
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def backend_directory(folder: Path) -> Path:
    """The python backend with the stub for this Python beside it, which the package keeps apart."""
    python = folder / "python"
    python.mkdir(parents=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for part in (
        *(TRITON / "backends" / "python").glob("*.*"),
        TRITON / "python_backend_stubs" / version / "triton_python_backend_stub",
    ):
        (python / part.name).symlink_to(part)
    return folder


def model_repository(folder: Path) -> Path:
    """The stand-in's models, each with its own copy of the code: the stub ignores PYTHONPATH."""
    shutil.copytree(STAND_IN / "repository", folder)
    for version in folder.glob("*/1"):
        shutil.copy(STAND_IN / "stand_in_models.py", version)
    return folder


@contextlib.contextmanager
def tritonserver(folder: Path, *arguments: str, port: int | None = None) -> Iterator[str]:
    """The address of a running server over the stand-in; its log is `folder/log`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    backends = folder / "backends"
    if not backends.exists():
        backend_directory(backends)
    repository = folder / "repository"
    if not repository.exists():
        model_repository(repository)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{SITE_PACKAGES / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [
        str(TRITON / "bin" / "tritonserver"),
        *("--model-repository", str(repository), "--backend-directory", str(backends)),
        *("--model-control-mode", "explicit", "--load-model", "*"),
        *("--grpc-address", "127.0.0.1", "--grpc-port", str(port)),
        *("--allow-http", "false", "--allow-metrics", "false", "--exit-timeout-secs", "3"),
        *("--grpc-header-forward-pattern", "authorization|x-.*"),
        *("--backend-config", "python,shm-region-prefix-name=" + f"toonface-stand-in-{port}"),
        *arguments,
    ]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port, process, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
