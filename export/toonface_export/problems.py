"""What is wrong with settings, in words for their user."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError


def problems(error: ValidationError, schema: type[BaseModel]) -> str:
    """Each wrong key with what is wrong with it; beside an unknown one those that are known in its place.

    Args:
        error: what validation found.
        schema: of the settings, by whose own names for its keys they are told.
    """
    texts = []
    for problem in error.errors():
        place = problem["loc"]
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"is not known (known here are {', '.join(_keys_at(schema, place[:-1]))})"
        texts.append(f"{'.'.join(map(str, place))} {text}".strip())
    return "; ".join(texts)


def _keys_at(schema: Any, place: tuple[int | str, ...]) -> list[str]:
    """The keys that there may be at `place`."""
    for key in place:
        schema = next(field.annotation for name, field in schema.model_fields.items() if (field.alias or name) == key)
    return [field.alias or name for name, field in schema.model_fields.items()]
