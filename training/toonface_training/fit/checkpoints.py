"""Checkpoints: a run at a step, whole or not at all.

A checkpoint is a folder that holds what PaddleX writes: `<name>.pdparams`, `<name>.pdopt`, `<name>.pdstates`, and
`<name>.pdema` where an average is kept. As in PaddleDetection, `.pdparams` is then the average, which is what to
evaluate, and `.pdema` are the parameters that the run goes on from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError
from toonface_training.fit.engine import EngineState
from toonface_training.networks.parameters import read_parameters, write_parameters

INFERENCE = "inference"
PARAMETERS, AVERAGE, OPTIMIZER, STATES = ".pdparams", ".pdema", ".pdopt", ".pdstates"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        model: PaddleX's name.
        step: the next step to take, from 0.
        steps_per_epoch: batches; they must be the same when the run goes on.
        settings: of the run, as its configuration file has them.
        figures: of each evaluated epoch, from 1, by name; the first decides which is the best.
        best_epoch: 0 before there is one.
    """

    model: str
    step: int
    steps_per_epoch: int
    settings: Mapping[str, Any]
    figures: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    best_epoch: int = 0

    def score(self, epoch: int) -> float | None:
        """The figure that decides, of an epoch; None if it was not evaluated."""
        return next(iter(self.figures.get(epoch, {}).values()), None)


def write_checkpoint(folder: Path, state: EngineState, progress: Progress, inference: Path | None = None) -> None:
    """Write a checkpoint; a folder of that name is there in full, or not at all, whatever happens meanwhile.

    Args:
        folder: of the checkpoint; an older one is replaced.
        state: of the engine.
        progress: of the run.
        inference: the state's inference folder, to be copied into it.
    """
    temporary = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    stem = temporary / folder.name
    write_parameters(state.best, stem.with_name(folder.name + PARAMETERS))
    if state.average is not None:
        write_parameters(state.parameters, stem.with_name(folder.name + AVERAGE))
    _write_optimizer(state.optimizer, stem.with_name(folder.name + OPTIMIZER))
    stem.with_name(folder.name + STATES).write_text(json.dumps(asdict(progress)), encoding="utf-8")
    if inference is not None:
        shutil.copytree(inference, temporary / INFERENCE)
    _put(temporary, folder)


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Copy a checkpoint to `folder`, as `write_checkpoint` writes one there."""
    temporary = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    for suffix in (PARAMETERS, AVERAGE, OPTIMIZER, STATES):
        path = temporary / f"{source.name}{suffix}"
        if path.exists():
            path.rename(temporary / f"{folder.name}{suffix}")
    _put(temporary, folder)


def _put(temporary: Path, folder: Path) -> None:
    """Let a folder that is complete take the place of `folder`."""
    for path in temporary.rglob("*.*"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if folder.exists():
        # A folder cannot be replaced at once; under this name it is no checkpoint any more.
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(temporary, folder)
        shutil.rmtree(old)
    else:
        os.replace(temporary, folder)


def read_progress(folder: Path) -> Progress:
    """Read of a checkpoint how far the run had come.

    Raises:
        ConfigError: the folder is no checkpoint of `toonface train`.
    """
    path = folder / f"{folder.name}{STATES}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        figures = {int(epoch): each for epoch, each in content["figures"].items()}
        return Progress(**{**content, "figures": figures})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{folder} is no checkpoint of `toonface train`, or a damaged one: {path.name}: {error}"
        ) from error


def read_checkpoint(folder: Path) -> tuple[EngineState, Progress]:
    """Read a checkpoint.

    Raises:
        ConfigError: the folder is none, or a file in it is missing or damaged.
    """
    progress = read_progress(folder)
    stem = folder / folder.name
    parameters = read_parameters(stem.with_name(folder.name + PARAMETERS))
    average = stem.with_name(folder.name + AVERAGE)
    optimizer = _read_optimizer(stem.with_name(folder.name + OPTIMIZER))
    if average.exists():
        return EngineState(read_parameters(average), parameters, optimizer), progress
    return EngineState(parameters, None, optimizer), progress


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a user means by `path`: its folder, a file in it, or the newest in a run's output folder.

    Raises:
        ConfigError: there is none, or one in the output folder is not of `toonface train`.
    """
    folder = path.parent if path.suffix in (PARAMETERS, AVERAGE, OPTIMIZER, STATES) else path
    if (folder / f"{folder.name}{STATES}").is_file():
        return folder
    there = checkpoints(folder)
    if not there:
        raise ConfigError(f"{path} is no checkpoint, and no output folder with checkpoints in it")
    return there[-1]


def checkpoints(output: Path) -> list[Path]:
    """The checkpoints in an output folder, the one that has come furthest last.

    Raises:
        ConfigError: one is not of `toonface train`, or damaged.
    """
    found = [states.parent for states in output.glob(f"*/*{STATES}") if states.stem == states.parent.name]
    return sorted(
        (folder for folder in found if not folder.name.startswith(".")), key=lambda folder: read_progress(folder).step
    )


def _write_optimizer(optimizer: Mapping[str, Any], path: Path) -> None:
    import paddle

    paddle.save(dict(optimizer), str(path))


def _read_optimizer(path: Path) -> dict[str, Any]:
    import paddle

    if not path.is_file():
        raise ConfigError(f"{path} is missing; without it the run cannot go on as it would have")
    try:
        content: dict[str, Any] = paddle.load(str(path), return_numpy=True)
    except Exception as error:  # whatever unpickling a damaged file raises
        raise ConfigError(f"{path} is not a file that Paddle can read: {error}") from error
    return content
