"""The command `toonface`; each subcommand is loaded when it is used, so that it needs only its own dependencies."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from toonface_contract.errors import ConfigError, ToonfaceError

# As shells have it: 128 and the number of SIGINT.
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class _Lazy:
    """Where a subcommand is, what the list of commands says of it, and which extra brings its dependencies."""

    module: str
    summary: str
    extra: str | None = None


_COMMANDS = {
    "recognize": _Lazy("toonface_client.cli.recognize", "Name the faces in pictures."),
    "gallery": _Lazy("toonface_client.cli.gallery", "Change and list the galleries of enrolled faces."),
    "status": _Lazy("toonface_client.cli.status", "Say how a server is."),
    "fetch": _Lazy("toonface_export.fetch_cli", "Get PaddleX's models and data sets by name.", "export"),
    "export": _Lazy("toonface_export.cli", "Turn PaddleX models into a model repository.", "export"),
    "train": _Lazy("toonface_training.fit.cli", "Fine-tune a detector or an embedder.", "training"),
    "sweep": _Lazy("toonface_training.fit.sweep_cli", "Train with one setting changed at a time.", "training"),
    "run": _Lazy("toonface_training.fit.modes_cli", "Do what a PaddleX configuration says.", "training"),
    "serve": _Lazy("toonface_server.cli", "Serve a model repository.", "server"),
    "evaluate": _Lazy("toonface_training.evaluation.cli", "Measure how good a model is.", "training"),
    "predict": _Lazy("toonface_training.evaluation.predict_cli", "Show what one model makes of pictures.", "training"),
    "dataset": _Lazy("toonface_training.dataset.cli", "Make, check, convert and split data sets.", "training"),
    "bench": _Lazy("toonface_benchmarks.cli", "Measure a served system.", "server,training"),
}


class _LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for, and says errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = _COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        try:
            command: click.Command = getattr(import_module(lazy.module), cmd_name)
        except ModuleNotFoundError as error:
            if lazy.extra is None:
                raise
            raise ConfigError(
                f"`toonface {cmd_name}` needs {error.name}, which is not installed: "
                f"pip install 'toonface[{lazy.extra}]'"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ToonfaceError as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"error: {error.code}: {' '.join(error.message.split())}", err=True)
            ctx.exit(1)
        except (KeyboardInterrupt, ImportError) as error:
            if not _is_interrupt(error):
                raise
            click.echo("Interrupted", err=True)
            ctx.exit(_INTERRUPTED)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it is a Ctrl-C, or what a library in C++ makes of one while it is imported: an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@click.group(cls=_LazyGroup)
@click.version_option(package_name="toonface", message="toonface %(version)s")
@click.option("--debug", is_flag=True, help="Show where an error comes from, with a traceback.")
def main(debug: bool) -> None:
    """Recognise faces, of cartoon characters or people, with your own PaddleX models on NVIDIA Triton.

    \b
    From two fine-tuned models to names:
      toonface export my_pipeline.yaml --output build/repository
      toonface serve --repository build/repository
      toonface gallery build default my_gallery/gallery.txt
      toonface recognize picture.jpg --save annotated/

    Exit codes: 0 all is well, 1 something failed, 2 the command line is wrong, 130 interrupted.
    """
    if not debug:
        warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)
