"""What differs between the settings of two trainings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from toonface_training.fit.settings import Settings

_OF_GLOBAL = ("model", "dataset_dir", "device")


def differences(before: Mapping[str, Any], settings: Settings, *, but: Collection[str] = ()) -> list[str]:
    """What a training's result depends on, and is not as it was.

    Args:
        before: the settings of one training, as its configuration file has them.
        settings: of the other.
        but: keys that may differ, such as `Train.workers`.

    Returns:
        `Train.seed was 0, is 1` for each.
    """
    now = settings.model_dump(mode="json", by_alias=True)
    keys = [("Global", key) for key in _OF_GLOBAL] + [("Train", key) for key in now["Train"]]
    return [
        f"{section}.{key} was {before[section].get(key)}, is {now[section][key]}"
        for section, key in keys
        if before[section].get(key) != now[section][key] and f"{section}.{key}" not in but
    ]
