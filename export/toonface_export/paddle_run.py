"""Start `toonface_export.paddle_worker`, the one place that runs Paddle."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from toonface_contract.errors import ExportError

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
    """
    command = [sys.executable, "-W", "ignore", "-m", "toonface_export.paddle_worker", job, *map(str, arguments)]
    done = subprocess.run(  # noqa: S603  (our own module)
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip() and not _FRAME.match(line)]
        said = "\n".join(lines[-_TAIL:])
        raise ExportError(f"Paddle failed on {folder} ({job}, exit code {done.returncode}):\n{said}")
