"""The argument SUBJECT and the options that say how to run it, for every command that takes a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from toonface_client.cli.options import with_tls
from toonface_client.connection import Tls
from toonface_contract.names import ADMIN_TOKEN_ENV, TOKEN_ENV
from toonface_export.serving import Serving
from toonface_training.evaluation.subjects.opening import SubjectSettings, open_subject
from toonface_training.networks import MODELS

R = TypeVar("R")


def with_server_options(command: Callable[..., R]) -> Callable[..., R]:
    """Adds the options that say how to reach a live server; the command gets `tls` and `token_file`, or None."""
    token_file = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        show_default=f"the token in ${TOKEN_ENV} or ${ADMIN_TOKEN_ENV}, or none",
        help="For a live server: file with a token, if it or what stands before it asks for one.",
    )
    return with_tls(token_file(command))


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
        tls: Tls | None,
        token_file: Path | None,
        **arguments: Any,
    ) -> R:
        settings = SubjectSettings(backend, canvas, pyramid_levels, model, tls, token_file)
        return command(subject=open_subject(subject, settings), **arguments)

    defaults = Serving()
    decorated: Callable[..., R] = with_server_options(wrapper)
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
