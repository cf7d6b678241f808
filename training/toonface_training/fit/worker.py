"""The process that trains; `toonface_training.fit.launch` starts it as `python -m toonface_training.fit.worker`.

For several devices it starts one process for each by Paddle's own `paddle.distributed.spawn`.
"""

from __future__ import annotations

import contextlib
import io
import sys

import click

from toonface_contract.errors import ToonfaceError
from toonface_training.batches.order import ALONE, Share
from toonface_training.fit.devices import Devices, parse_devices
from toonface_training.fit.launch import INTERRUPTED
from toonface_training.fit.processes import die_with_parent
from toonface_training.fit.reading import read_settings
from toonface_training.fit.run import train
from toonface_training.fit.settings import Settings


def main(path: str, *, force: bool) -> int:
    """Train as the settings at `path` say; returns the exit code, see `launch`."""
    die_with_parent()
    try:
        settings = read_settings(path)
        _import_paddle()
        devices = parse_devices(settings.globals.device).resolve()
        if len(devices.numbers) == 1:
            _train(settings, devices, ALONE, force)
        else:
            return _train_together(settings, devices, force)
    except ToonfaceError as error:
        return _said(error)
    return 0


def _train_together(settings: Settings, devices: Devices, force: bool) -> int:
    import paddle

    options = {"backend": "gloo"} if devices.kind == "cpu" else {"gpus": ",".join(map(str, devices.numbers))}
    try:
        paddle.distributed.spawn(_one_of_several, (settings, devices, force), nprocs=len(devices.numbers), **options)
    except Exception as error:  # Paddle raises a plain one; the process that failed has said why
        return INTERRUPTED if f"exit code {INTERRUPTED}" in str(error) else 1
    return 0


def _one_of_several(settings: Settings, devices: Devices, force: bool) -> None:
    die_with_parent()
    _import_paddle()
    import paddle

    paddle.distributed.init_parallel_env()
    share = Share(paddle.distributed.get_rank(), paddle.distributed.get_world_size())
    try:
        _train(settings, devices, share, force)
    except ToonfaceError as error:
        sys.exit(_said(error))


def _import_paddle() -> None:
    """Import Paddle without what it says of the number of threads, which is chosen on purpose."""
    with contextlib.redirect_stderr(io.StringIO()):
        import paddle  # noqa: F401


def _train(settings: Settings, devices: Devices, share: Share, force: bool) -> None:
    train(settings, device=devices.device(share.rank), share=share, force=force)


def _said(error: ToonfaceError) -> int:
    """Say what went wrong, in one line; returns the exit code."""
    click.echo(f"error: {error.code}: {' '.join(error.message.split())}", err=True)
    return INTERRUPTED if error.code == "interrupted" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], force="--force" in sys.argv[2:]))
