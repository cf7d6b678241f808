"""From a configuration file and overrides to settings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from toonface_contract.errors import ConfigError
from toonface_export.written_settings import problems, set_key
from toonface_training.fit.settings import DetectionSettings, FeatureSettings, Settings
from toonface_training.networks import DETECTORS, MODELS

_SHIPPED = files("toonface_training.fit") / "configs"
# Where PaddleX has its files; who names one as in PaddleX's tutorials need not have it.
_PADDLEX = "paddlex/configs/modules/"


def read_settings(config: str, overrides: Sequence[str] = ()) -> Settings:
    """Read a configuration; what it does not say is taken from the one that toonface ships for its model.

    Args:
        config: path of a YAML file with PaddleX's keys; or, where there is no such file, the name of a model or of its
            shipped file, such as `PP-YOLOE_plus-S_face.yaml`, also after the folders in which PaddleX has its own.
        overrides: `Key.Sub=value` each, the value as YAML; they win over the file.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, missing or wrong; the message names each.
    """
    content = _read(config)
    for override in overrides:
        set_key(content, override, "Key.Sub=value, such as Train.learning_rate=0.001")
    name = content.get("Global", {}).get("model") if isinstance(content.get("Global"), Mapping) else None
    if name not in MODELS:
        raise ConfigError(f"{config}: Global.model is {name!r}; there are {', '.join(MODELS)}")
    content = _merged(_shipped(name), content)
    schema: type[Settings] = DetectionSettings if name in DETECTORS else FeatureSettings
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{config}: {problems(error, schema, values=True)}") from error


def write_settings(settings: Settings, path: Path) -> None:
    """Write settings as a file that `read_settings` reads."""
    content = settings.model_dump(mode="json", by_alias=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _read(config: str) -> dict[str, Any]:
    path = Path(config)
    if not path.is_file():
        name = path.name.removesuffix(".yaml")
        bare = config == path.name
        if name not in MODELS or not (bare or _PADDLEX in path.as_posix()):
            raise ConfigError(f"there is no file {config}, and no model of that name; there are {', '.join(MODELS)}")
        if not bare:
            warnings.warn(f"there is no file {config}; toonface's own file of {name} is used", stacklevel=2)
        return _shipped(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{config} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{config} holds no keys; it must have PaddleX's, such as Global and Train")
    return content


def _shipped(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
