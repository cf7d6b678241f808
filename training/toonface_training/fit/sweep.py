"""Sweeps: the same training with one setting changed at a time, each time going on with the best value found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError, TrainingError
from toonface_training.fit.checkpoints import checkpoints
from toonface_training.fit.launch import INTERRUPTED
from toonface_training.fit.outputs import RESULT, write_json
from toonface_training.fit.reading import read_settings
from toonface_training.fit.settings import FeatureTrain, Settings

SUMMARY = "sweep_result.json"
# A run's own settings, which a sweep sets itself.
_RESERVED = ("Global.output", "Train.resume_path")

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
    interrupted goes on.

    Args:
        config: the configuration that all share.
        overrides: `Key.Sub=value` each. Global.output is the sweep's folder.
        variables: in the order in which they are varied.
        launch: trains.

    Raises:
        ConfigError: a value does not suit its key; nothing is trained then.
        TrainingError: a training failed, or was interrupted.
    """
    folder = read_settings(config, overrides).globals.output
    for variable in variables:
        for value in variable.values:
            read_settings(config, [*overrides, f"{variable.key}={value}"])
    experiments: list[Experiment] = []
    chosen: dict[str, str] = {}
    for variable in variables:
        tried = []
        for value in variable.values:
            settings = _settings(config, overrides, folder, {**chosen, variable.key: value})
            tried.append(_experiment(variable.key, settings, launch))
        best = max(range(len(tried)), key=lambda place: tried[place].score)
        chosen[variable.key] = variable.values[best]
        experiments += [
            Experiment(each.stage, each.settings, each.score, each.figures, place == best)
            for place, each in enumerate(tried)
        ]
        write_json({"experiments": [each.as_dict() for each in experiments]}, folder / SUMMARY)
    return experiments


def _settings(config: str, overrides: Sequence[str], folder: Path, chosen: dict[str, str]) -> Settings:
    own = [*overrides, *(f"{key}={value}" for key, value in chosen.items())]
    # A value may be written in several ways; the folder's name is made of what it means.
    meant = read_settings(config, own).model_dump(mode="json", by_alias=True)
    name = ",".join(f"{key.rpartition('.')[2]}={_at(meant, key)}" for key in chosen)
    return read_settings(config, [*own, f"Global.output={folder / name}"])


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content[part]
    return content


def _experiment(stage: str, settings: Settings, launch: Launch) -> Experiment:
    output = settings.globals.output
    result = _ended(output)
    if result is None:
        going_on = settings
        if checkpoints(output):
            train = settings.train.model_copy(update={"resume_path": output})
            going_on = settings.model_copy(update={"train": train})
        code = launch(going_on)
        result = _ended(output)
        if code or result is None:
            raise TrainingError(
                f"the training in {output} ended with exit code {code}; the same command goes on with the sweep",
                code="interrupted" if code == INTERRUPTED else None,
            )
    best = result["models"]["best"]
    if best["score"] == "":
        raise ConfigError(f"{settings.globals.dataset_dir} has no validation part, by which a sweep could choose")
    return Experiment(stage, settings, best["score"], best["figures"])


def _ended(output: Path) -> dict[str, Any] | None:
    """The result of a training that has come to its end."""
    path = output / RESULT
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result if result["done_flag"] else None
