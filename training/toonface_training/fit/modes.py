"""What a configuration's `Global.mode` means in toonface's own commands."""

from __future__ import annotations

from collections.abc import Sequence

from toonface_contract.errors import ConfigError
from toonface_training.fit.settings import DetectionSettings, Settings
from toonface_training.networks.parameters import SUFFIX


def commands(settings: Settings, config: str, overrides: Sequence[str]) -> list[list[str]]:
    """The command lines, without `toonface`, that do what the configuration says, one after another.

    Args:
        settings: what was read of the configuration.
        config: the configuration, as the user named it.
        overrides: `Key.Sub=value` each, as the user gave them.

    Raises:
        ConfigError: a key that the mode needs is not set.
    """
    kind = "detection" if isinstance(settings, DetectionSettings) else "feature"
    mode = settings.globals.mode
    if mode == "train":
        return [["train", kind, config, *(part for override in overrides for part in ("-o", override))]]
    if mode == "predict":
        if settings.predict.input is None:
            raise ConfigError("Predict.input is not set: -o Predict.input=picture.jpg")
        output = str(settings.globals.output)
        return [["predict", str(settings.predict.model_dir), settings.predict.input, "--save", output]]
    if settings.globals.dataset_dir is None:
        raise ConfigError("Global.dataset_dir is not set: -o Global.dataset_dir=...")
    if mode == "evaluate":
        return [_evaluate(settings, kind)]
    return _check(settings, kind)


def _evaluate(settings: Settings, kind: str) -> list[str]:
    weights = settings.evaluate.weight_path
    model = ["--model", settings.globals.model] if weights.suffix == SUFFIX else []
    # As PaddleX measures: each picture and its mirror image together.
    mirrored = ["--flip-test"] if kind == "feature" else []
    places = [str(weights), str(settings.globals.dataset_dir), "--output", str(settings.globals.output)]
    return ["evaluate", kind, *places, *model, *mirrored]


def _check(settings: Settings, kind: str) -> list[list[str]]:
    dataset, check = str(settings.globals.dataset_dir), settings.check_dataset
    lines = []
    if check.convert.enable:
        if check.convert.src_dataset_type is None:
            raise ConfigError("CheckDataset.convert.src_dataset_type is not set; it is LabelMe or VOC")
        lines.append(["dataset", "convert", dataset, "--from", check.convert.src_dataset_type])
    if check.split.enable:
        percents = (check.split.train_percent, check.split.val_percent)
        if None in percents:
            raise ConfigError("CheckDataset.split needs train_percent and val_percent, which sum to 100")
        lines.append(
            ["dataset", "split", dataset, "--kind", kind, "--train", str(percents[0]), "--val", str(percents[1])]
        )
    return [*lines, ["dataset", "check", dataset, "--kind", kind, "--output", str(settings.globals.output)]]
