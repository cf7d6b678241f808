"""Settings as their user writes them: a key with its value, and what is wrong, in words."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from toonface_contract.errors import ConfigError


def set_key(settings: dict[str, Any], text: str, form: str) -> None:
    """Put the value of an option `-o` in its place in settings.

    Args:
        settings: changed; sections on the way are added.
        text: a key, with its sections before it, `=`, and a value as YAML.
        form: what such a text looks like, for messages.

    Raises:
        ConfigError: the text is of another form, its value cannot be read, or a section on the way is a value.
    """
    place, equals, value = text.partition("=")
    *sections, key = place.split(".")
    if not equals or not all((*sections, key)):
        raise ConfigError(f"-o {text!r} is not {form}")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"-o {text}: {section} is a value, which holds no further keys")
    try:
        settings[key] = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:  # the latter of dates that there are none of
        raise ConfigError(f"-o {text}: the value cannot be read: {error}") from error


def problems(error: ValidationError, schema: type[BaseModel], *, values: bool = False) -> str:
    """Each wrong key with what is wrong with it; beside an unknown one those that are known in its place.

    Args:
        error: what validation found.
        schema: of the settings, by whose own names for its keys they are told.
        values: tell wrong values, too, where what is wrong is not said of the key alone.
    """
    texts = []
    for problem in error.errors():
        place = problem["loc"]
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"is not known (known here are {', '.join(_keys_at(schema, place[:-1]))})"
        elif values and place and not text.startswith("is "):
            text = f"is {problem['input']!r}: {text}"
        texts.append(f"{'.'.join(map(str, place))} {text}".strip())
    return "; ".join(texts)


def _keys_at(schema: Any, place: tuple[int | str, ...]) -> list[str]:
    """The keys that there may be at `place`."""
    for key in place:
        schema = next(field.annotation for name, field in schema.model_fields.items() if (field.alias or name) == key)
    return [field.alias or name for name, field in schema.model_fields.items()]
