"""The option `-o`, for every command that takes a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def overridden(command: Function) -> Function:
    """Adds `-o KEY.SUB=VALUE`, as `overrides`."""
    return click.option(
        "-o",
        "overrides",
        multiple=True,
        metavar="KEY.SUB=VALUE",
        help="Set a key of the configuration, such as Train.learning_rate=0.001; repeatable.",
    )(command)
