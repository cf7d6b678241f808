"""The argument SUBJECT and the options that say how to run it, for every command that takes a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from toonface_export.serving import Serving
from toonface_training.evaluation.subjects.opening import SubjectSettings, open_subject
from toonface_training.networks import MODELS

R = TypeVar("R")


def with_subject(command: Callable[..., R]) -> Callable[..., R]:
    """Adds the argument SUBJECT and the options that say how to run it; the command gets a `subject`, ready."""

    @functools.wraps(command)
    def wrapper(
        *,
        subject: str,
        model: str | None,
        backend: Any,
        canvas: tuple[int, int] | None,
        pyramid_levels: int | None,
        **arguments: Any,
    ) -> R:
        settings = SubjectSettings(backend, canvas, pyramid_levels, model)
        return command(subject=open_subject(subject, settings), **arguments)

    defaults = Serving()
    decorated: Callable[..., R] = wrapper
    for option in (
        click.option(
            "--pyramid-levels",
            type=click.IntRange(1, 5),
            show_default=f"the pipeline file's, or {defaults.pyramid_levels}",
            help="BlazeFace in Paddle: scales at which it looks at the canvas.",
        ),
        click.option(
            "--canvas",
            type=click.Tuple([click.IntRange(1), click.IntRange(1)]),
            show_default="the pipeline file's, or {} {}".format(*defaults.canvas),
            metavar="HEIGHT WIDTH",
            help="BlazeFace in Paddle: pixels into which pictures are scaled down.",
        ),
        click.option(
            "--backend",
            type=click.Choice(["onnxruntime", "openvino"]),
            help="Who computes exported models.  [default: whom they were exported for]",
        ),
        click.option(
            "--model", type=click.Choice(list(MODELS)), help="For parameters (.pdparams): the network that they are of."
        ),
        click.argument("subject"),
    ):
        decorated = option(decorated)
    return decorated
