"""Start `toonface_export.paddle_worker`, the one place that runs Paddle."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from toonface_contract.errors import ConfigError, ExportError

# What each job of the worker imports; `toonface export engine` is installed without.
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "to_onnx": ("paddle", "paddle2onnx"),
    "infer": ("paddle",),
    "translate": ("paddle",),
}

# Lines of Paddle's own output to quote when it fails, and what is left out of them: the frames of its own stack.
_TAIL = 12
_FRAME = re.compile(r"\d+ +\w+::|-+$|C\+\+ Traceback|\s*\[(TimeInfo|SignalInfo):")


def run_paddle(folder: Path, job: str, *arguments: Path) -> None:
    """Run one job in a process of its own, and wait for it.

    Args:
        folder: of the model, for messages.
        job: a job of the worker.
        arguments: of the job.

    Raises:
        ExportError: it failed or crashed; the message quotes the end of what Paddle said.
        ConfigError: Paddle or paddle2onnx is not installed.
    """
    for package in _PACKAGES[job]:
        if find_spec(package) is None:
            raise ConfigError(
                f"{folder} cannot be read without {package}, which is not installed: pip install 'toonface[export]'"
            )
    command = [sys.executable, "-W", "ignore", "-m", "toonface_export.paddle_worker", job, *map(str, arguments)]
    done = subprocess.run(  # noqa: S603  (our own module)
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip() and not _FRAME.match(line)]
        said = "\n".join(lines[-_TAIL:])
        raise ExportError(f"Paddle failed on {folder} ({job}, exit code {done.returncode}):\n{said}")
