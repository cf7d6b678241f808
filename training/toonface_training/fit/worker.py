"""The process that trains; `toonface_training.fit.launch` starts it as `python -m toonface_training.fit.worker`.

For several devices it starts one process for each by Paddle's own `paddle.distributed.spawn`.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import signal
import sys
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

import click

from toonface_contract.errors import ConfigError, ToonfaceError, TrainingError
from toonface_training.batches.order import ALONE, Share
from toonface_training.fit.devices import Devices, parse_devices
from toonface_training.fit.interrupts import interrupts_come
from toonface_training.fit.launch import INTERRUPTED
from toonface_training.fit.reading import read_settings
from toonface_training.fit.run import train
from toonface_training.fit.settings import Settings
from toonface_training.processes import die_with_parent

# Seconds in which the first of several processes, which saves, may say its own once another has failed.
_PATIENCE = 20


def main(path: str, *, force: bool) -> int:
    """Train as the settings at `path` say; returns the exit code, see `launch`."""
    die_with_parent()
    try:
        settings = read_settings(path)
        _import_paddle()
        interrupts_come()
        devices = parse_devices(settings.globals.device).resolve()
        if len(devices.numbers) > 1:
            return _train_together(settings, devices, force)
        _train(settings, devices, ALONE, force)
    except ToonfaceError as error:
        return _said(error)
    except KeyboardInterrupt:
        return _said(
            TrainingError(
                "interrupted before the step could be saved; there are the checkpoints of earlier epochs at most",
                code="interrupted",
            )
        )
    return 0


def _train_together(settings: Settings, devices: Devices, force: bool) -> int:
    """Train in a process for each device; returns the exit code.

    Raises:
        ToonfaceError: one of the processes raised it.
        KeyboardInterrupt: so did the first.
    """
    import paddle

    options = {"backend": "gloo"} if devices.kind == "cpu" else {"gpus": devices.launcher_names()}
    told, tells = multiprocessing.get_context("spawn").Pipe(duplex=False)
    # An interrupt, which all get, is for the first of the processes; this one waits for it to save.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        arguments = (settings, devices, force, tells)
        context = paddle.distributed.spawn(
            _one_of_several, arguments, nprocs=len(devices.numbers), join=False, **options
        )
        _await(context, told)
    except ToonfaceError:
        raise
    except Exception as error:  # Paddle raises plain ones
        click.echo(f"error: training_failed: {str(error).strip()}", err=True)
        return 1
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


def _await(context: Any, told: Connection) -> None:
    """Wait for the end of all processes, and raise what one of them raised.

    Raises:
        Exception: Paddle's, of one that ended without a word.
    """
    first = context.processes[0]
    while True:
        connection.wait([told, *context.sentinels])
        if any(process.exitcode for process in context.processes):
            # It may have failed for want of the first, while that is saving.
            connection.wait([told, first.sentinel], _PATIENCE)
        if told.poll():
            for process in context.processes:
                process.kill()
            raise told.recv()
        if context.join():
            return


def _one_of_several(settings: Settings, devices: Devices, force: bool, tells: Connection) -> None:
    die_with_parent()
    _import_paddle()
    import paddle

    rank = paddle.distributed.get_rank()
    if rank == 0:
        # That an interrupt is ignored has been inherited; the others are ended with the first.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        paddle.distributed.init_parallel_env()
        _train(settings, devices, Share(rank, paddle.distributed.get_world_size()), force)
    except (ToonfaceError, KeyboardInterrupt) as error:
        tells.send(error)
        # Without this process the others would fail, and say so at length, before they are ended.
        signal.pause()


def _import_paddle() -> None:
    """Import Paddle without what it says of the number of threads, which is chosen on purpose.

    Raises:
        ConfigError: it is not installed.
    """
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            import paddle  # noqa: F401
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"training needs {error.name}, which is not installed: pip install 'toonface[training]'"
            ) from error


def _train(settings: Settings, devices: Devices, share: Share, force: bool) -> None:
    train(settings, device=devices.device(share.rank), share=share, force=force)


def _said(error: ToonfaceError) -> int:
    """Say what went wrong, in one line; returns the exit code."""
    click.echo(f"error: {error.code}: {' '.join(error.message.split())}", err=True)
    return INTERRUPTED if error.code == "interrupted" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], force="--force" in sys.argv[2:]))
