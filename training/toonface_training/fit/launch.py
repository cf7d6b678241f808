"""Starts the processes of a run, in an environment that makes Paddle fast, and passes interrupts on to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from toonface_training.fit.devices import parse_devices
from toonface_training.fit.interrupts import interrupts_wait
from toonface_training.fit.reading import write_settings
from toonface_training.fit.settings import Settings

INTERRUPTED = 130
"""Exit code of a run that a user interrupted; it has been saved, or says that it has not."""


def launch(settings: Settings, *, force: bool = False) -> int:
    """Train in a process of its own, or in several, and wait for the end.

    Args:
        settings: of the run.
        force: replace the result of another run.

    Returns:
        The exit code: 0 ok, 1 failure, 130 interrupted; the process has said why. Else 128 and the number of the signal
        that ended the process, as shells have it.

    Raises:
        ConfigError: Global.device names a device twice.
    """
    devices = parse_devices(settings.globals.device)
    with tempfile.TemporaryDirectory(prefix="toonface-") as scratch:
        path = Path(scratch) / "settings.yaml"
        write_settings(settings, path)
        command = [sys.executable, "-m", "toonface_training.fit.worker", str(path), *(["--force"] if force else [])]
        # In a group of its own, it gets an interrupt once, from here, and not from the terminal as well.
        with interrupts_wait():
            process = subprocess.Popen(  # noqa: S603  (our own module)
                command, env=devices.environment(), process_group=0
            )
            before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            for number in before:
                signal.signal(number, lambda received, _: os.killpg(process.pid, received))
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code
