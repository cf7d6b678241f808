"""The command `toonface export`, and its default: a pipeline file to a repository."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from toonface_export.bounds import BOUNDS, tightened
from toonface_export.cli_engine import engine
from toonface_export.cli_inspect import inspect
from toonface_export.cli_model import model
from toonface_export.cli_support import finish, narrated, serving_options
from toonface_export.pipeline import read_pipeline
from toonface_export.repository import export_repository


class _DefaultGroup(click.Group):
    """A group whose first argument may be left out: it is then the command `pipeline`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "--print-config"):
            args = ["pipeline", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Options of a pipeline's export"):
            records = [parameter.get_help_record(ctx) for parameter in pipeline.params]
            formatter.write_dl([record for record in records if record is not None])
        super().format_options(ctx, formatter)


def _print_config(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo((files("toonface_export") / "default_pipeline.yaml").read_text(encoding="utf-8"), nl=False)
        ctx.exit()


@click.group(cls=_DefaultGroup, subcommand_metavar="PIPELINE --output FOLDER [OPTIONS] | COMMAND ...")
@click.option(
    "--print-config",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_config,
    help="Print a pipeline file with every key at its default, and what each means.",
)
def export() -> None:
    """Turn PaddleX models into a model repository for Triton.

    PIPELINE is PaddleX's own face_recognition.yaml: SubModules.Detection.model_dir and SubModules.Recognition.model_dir
    name the two inference folders, relative to the file, or else to the working directory. Further keys may stand under
    `Serving`; options win over them.

    Both networks are converted with their preprocessing inside and the detector's NMS outside, put into the precision
    asked for, and held against Paddle on the same pictures: on a CPU by the backend that will serve them, for a GPU
    with f16 emulated on the CPU, and as TensorRT engines on the GPU again. One that differs by more than its bound is
    not written. An older repository in the output folder stays in place until the new one is complete.

    \b
    Examples:
      toonface export models/face_recognition.yaml --output build/repository
      toonface export my.yaml --precision int8 --calibration my_pictures --output build/repository
      toonface export my.yaml --target gpu --output build/repository
      toonface export inspect build/repository
    """


@export.command(hidden=True)
@click.argument("pipeline", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder of the model repository to write."
)
@serving_options
@click.option("--engine-later", is_flag=True, help="Leave TensorRT's engines to `toonface export engine`.")
@click.option("--force", is_flag=True, help="Replace the output folder even if it holds something else.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, and nothing else, on standard output.")
def pipeline(
    pipeline: Path,
    output: Path,
    settings: tuple[str, ...],
    bound: tuple[str, ...],
    engine_later: bool,
    force: bool,
    as_json: bool,
    **serving: Any,
) -> None:
    """Export the two models of a pipeline file."""
    bounds = tightened(BOUNDS, bound)
    with narrated() as progress:
        content = read_pipeline(pipeline, progress.note).with_serving(settings, **serving)
        if content.index is not None:
            progress.note(
                f"index {content.index} is not exported; import it into the running server: "
                f"toonface gallery import default {pipeline}"
            )
        manifest = export_repository(content, output, progress, force=force, bounds=bounds, engine_later=engine_later)
        for network in (manifest["detector"], manifest["recogniser"]):
            for note in network["notes"]:
                progress.note(note)
        if engine_later and manifest["engines"]:
            progress.note(f"the engines are yet to be built, where they serve: toonface export engine {output}")
    finish(manifest, output, as_json)


for command in (model, inspect, engine):
    export.add_command(command)
