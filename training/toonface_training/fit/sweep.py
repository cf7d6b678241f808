"""Sweeps: the same training with one setting changed at a time, each time going on with the best value found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError, TrainingError
from toonface_training.fit.checkpoints import checkpoints
from toonface_training.fit.compare import differences
from toonface_training.fit.judge import judged_by
from toonface_training.fit.launch import INTERRUPTED
from toonface_training.fit.outputs import CONFIG, RESULT, write_json
from toonface_training.fit.reading import read_settings
from toonface_training.fit.settings import FeatureTrain, Settings

SUMMARY = "sweep_result.json"
# A run's own settings, which a sweep sets itself.
_RESERVED = ("Global.output", "Train.resume_path")
# Settings in which a training that is there may differ from the one that is asked for.
_IMMATERIAL = ("Global.device", "Train.resume_path", "Train.workers", "Train.log_interval")

Launch = Callable[[Settings], int]
"""Trains; returns the exit code."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A setting to vary: its key, such as `Train.learning_rate`, and the values to try."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Experiment:
    """One training.

    Attributes:
        stage: the key that was varied.
        settings: of the training.
        score: of its best model.
        figures: of its best model, by name.
        best: whether the following stages go on with its value.
    """

    stage: str
    settings: Settings
    score: float
    figures: dict[str, float]
    best: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What a program may want to know."""
        train = self.settings.train
        margin = {"arcmargin_m": train.arcmargin_m} if isinstance(train, FeatureTrain) else {}
        return {
            "varied": self.stage,
            "output": str(self.settings.globals.output),
            "epochs_iters": train.epochs_iters,
            "learning_rate": train.learning_rate,
            "batch_size": train.batch_size,
            **margin,
            "score": self.score,
            "figures": self.figures,
            "best": self.best,
        }


def parse_variable(text: str) -> Variable:
    """`Key.Sub=value,value` as a variable.

    Raises:
        ConfigError: it is not of that form, or the key is one that a sweep sets itself.
    """
    key, _, values = text.partition("=")
    listed = tuple(value for value in values.split(",") if value)
    if "." not in key or not listed:
        raise ConfigError(f"--vary {text!r} is not Key.Sub=value,value, such as Train.learning_rate=0.001,0.0001")
    if key in _RESERVED:
        raise ConfigError(f"--vary {key} cannot be: each experiment of a sweep has an output folder of its own")
    return Variable(key, listed)


def sweep(config: str, overrides: Sequence[str], variables: Sequence[Variable], launch: Launch) -> list[Experiment]:
    """Train once for each value of each variable; the best value of one holds for the variables that follow.

    Trainings that have ended already, in this or an earlier sweep into the same folder, are not repeated; one that was
    interrupted goes on. Nor is one whose settings are those of another, as where a variable's first value is what the
    variables before it were tried with.

    Args:
        config: the configuration that all share.
        overrides: `Key.Sub=value` each. Global.output is the sweep's folder.
        variables: in the order in which they are varied.
        launch: trains.

    Raises:
        ConfigError: a value does not suit its key, or the dataset has no validation part to choose by; nothing is
            trained then. Or a training with other settings is where one of the sweep belongs.
        TrainingError: a training failed, or was interrupted.
    """
    folder = read_settings(config, overrides).globals.output
    for variable in variables:
        for value in variable.values:
            _check_judged(read_settings(config, [*overrides, f"{variable.key}={value}"]))
    experiments: list[Experiment] = []
    chosen: dict[str, str] = {}
    for variable in variables:
        tried: list[Experiment] = []
        for value in variable.values:
            settings = _settings(config, overrides, folder, {**chosen, variable.key: value})
            tried.append(_experiment(variable.key, settings, [*experiments, *tried], launch))
        best = max(range(len(tried)), key=lambda place: tried[place].score)
        chosen[variable.key] = variable.values[best]
        experiments += [replace(each, best=place == best) for place, each in enumerate(tried)]
        write_json({"experiments": [each.as_dict() for each in experiments]}, folder / SUMMARY)
    return experiments


def _settings(config: str, overrides: Sequence[str], folder: Path, chosen: dict[str, str]) -> Settings:
    own = [*overrides, *(f"{key}={value}" for key, value in chosen.items())]
    # A value may be written in several ways; the folder's name is made of what it means.
    meant = _content(read_settings(config, own))
    name = ",".join(f"{key.rpartition('.')[2]}={_at(meant, key)}" for key in chosen)
    return read_settings(config, [*own, f"Global.output={folder / name}"])


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content[part]
    return content


def _check_judged(settings: Settings) -> None:
    path = judged_by(settings)
    if not path.is_file():
        raise ConfigError(f"{path} is missing, the validation part of the dataset, by which a sweep chooses")


def _experiment(stage: str, settings: Settings, earlier: Sequence[Experiment], launch: Launch) -> Experiment:
    for same in earlier:
        if not differences(_content(same.settings), settings):
            return replace(same, stage=stage)
    output = settings.globals.output
    result, begun = _ended(output), bool(checkpoints(output))
    if result is not None or begun:
        _check_same(settings)
    if result is None:
        going_on = settings
        if begun:
            train = settings.train.model_copy(update={"resume_path": output})
            going_on = settings.model_copy(update={"train": train})
        code = launch(going_on)
        result = _ended(output)
        if code or result is None:
            raise TrainingError(
                f"the training in {output} ended with exit code {code}; the same command goes on with the sweep",
                code="interrupted" if code == INTERRUPTED else None,
            )
    best = result["models"].get("best")
    if best is None or best["score"] == "":
        raise ConfigError(
            f"{output} was not evaluated, so that a sweep cannot choose by it; remove it to train it anew"
        )
    return Experiment(stage, settings, best["score"], best["figures"])


def _check_same(settings: Settings) -> None:
    output = settings.globals.output
    before = _content(read_settings(str(output / CONFIG)))
    other = differences(before, settings, but=_IMMATERIAL)
    if other:
        raise ConfigError(
            f"{output} holds a training with other settings: {'; '.join(other)}. Let the sweep have another folder by "
            "-o Global.output=..., or remove that one"
        )


def _content(settings: Settings) -> dict[str, Any]:
    """Settings as a configuration file has them."""
    return settings.model_dump(mode="json", by_alias=True)


def _ended(output: Path) -> dict[str, Any] | None:
    """The result of a training that has come to its end."""
    path = output / RESULT
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result if result["done_flag"] else None
