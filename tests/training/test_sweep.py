"""Sweeps: one variable at a time, the best goes on, nothing is repeated."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_sets import write_detection_set

from toonface_client.cli import main
from toonface_contract.errors import ConfigError, TrainingError
from toonface_training.fit.run import train
from toonface_training.fit.settings import Settings
from toonface_training.fit.sweep import SUMMARY, Variable, parse_variable, sweep


@pytest.fixture(scope="module")
def detection_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detection_set(tmp_path_factory.mktemp("detection") / "set", train=6, val=1)


def overrides(dataset: Path, folder: Path) -> tuple[str, ...]:
    return (
        f"Global.dataset_dir={dataset}",
        f"Global.output={folder}",
        "Global.device=cpu",
        "Train.epochs_iters=1",
        "Train.image_size=64",
        "Train.batch_size=3",
        "Train.workers=0",
    )


def test_a_sweep_varies_one_thing_at_a_time_and_repeats_nothing(detection_set: Path, tmp_path: Path) -> None:
    started: list[str] = []

    def launch(settings: Settings) -> int:
        started.append(settings.globals.output.name)
        if len(started) == 2:
            return 1  # as if it had been killed before it began
        train(settings)
        return 0

    given = overrides(detection_set, tmp_path)
    variables = [Variable("Train.learning_rate", ("1e-3", "1e-4")), Variable("Train.epochs_iters", ("1", "2"))]
    with pytest.raises(TrainingError, match=r"learning_rate=0\.0001 ended with exit code 1; the same command goes on"):
        sweep("BlazeFace", given, variables, launch)
    experiments = sweep("BlazeFace", given, variables, launch)
    best = next(each for each in experiments if each.best).settings.train.learning_rate
    assert started == [
        "learning_rate=0.001",
        "learning_rate=0.0001",
        "learning_rate=0.0001",
        # Not the first value of the second variable, with which the first variable's were tried.
        f"learning_rate={best},epochs_iters=2",
    ]
    assert experiments[2].settings == next(each.settings for each in experiments if each.best)
    assert [each.best for each in experiments].count(True) == 2
    assert [each.settings.train.epochs_iters for each in experiments] == [1, 1, 1, 2]
    # One setting has changed from the chosen experiment of the stage before to those of the next.
    assert {each.settings.train.learning_rate for each in experiments[2:]} == {best}

    sweep("BlazeFace", (*given, "Train.workers=1", "Train.log_interval=5"), variables, launch)
    assert len(started) == 4
    with pytest.raises(
        ConfigError, match=r"learning_rate=0\.001 holds a training with other settings: Train\.seed was 0, is 1\."
    ):
        sweep("BlazeFace", (*given, "Train.seed=1"), variables, launch)
    assert len(started) == 4

    options = [part for override in given for part in ("-o", override)]
    varied = [part for each in variables for part in ("--vary", f"{each.key}={','.join(each.values)}")]
    result = CliRunner().invoke(main, ["sweep", "BlazeFace", *options, *varied, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / SUMMARY).read_text())
    table = CliRunner().invoke(main, ["sweep", "BlazeFace", *options, *varied])
    assert "mAP@0.5" in table.stdout and "Learning rate" in table.stdout


def test_a_value_that_does_not_suit_is_refused_before_anything_is_trained(detection_set: Path, tmp_path: Path) -> None:
    def launch(settings: Settings) -> int:
        raise AssertionError(settings)

    with pytest.raises(ConfigError, match=r"Train\.epochs_iters is 0"):
        sweep("BlazeFace", overrides(detection_set, tmp_path), [Variable("Train.epochs_iters", ("1", "0"))], launch)


def test_a_dataset_that_cannot_judge_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    def launch(settings: Settings) -> int:
        raise AssertionError(settings)

    dataset = write_detection_set(tmp_path / "set", train=3, val=1)
    (dataset / "annotations" / "instance_val.json").unlink()
    with pytest.raises(ConfigError, match=r"instance_val\.json is missing, the validation part"):
        sweep("BlazeFace", overrides(dataset, tmp_path / "sweep"), [Variable("Train.seed", ("1", "2"))], launch)


@pytest.mark.parametrize("text", ["Train.learning_rate", "Train.learning_rate=", "seed=1,2", "Global.output=a,b"])
def test_a_variable_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--vary"):
        parse_variable(text)
