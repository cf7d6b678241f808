"""The command `toonface bench compare`, and what it shares with `parity`."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown

from toonface_benchmarks.cli_options import (
    gallery_option,
    json_option,
    pictures_option,
    progress_console,
    read_pictures,
)
from toonface_benchmarks.machine import this_machine
from toonface_contract.errors import ConfigError

_ROOT = Path(__file__).resolve().parents[2]


pipeline_option = click.option(
    "--pipeline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=_ROOT / "models" / "face_recognition.yaml",
    help="Pipeline file whose models both sides run.  [default: the demo's]",
)
cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=_ROOT / "build",
    help="Folder for PaddleX's environment, which is kept.  [default: build]",
)
markdown_option = click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report here as well.",
)


@click.command("compare")
@pipeline_option
@click.option("--default-pair", is_flag=True, help="PaddleX's default pair with random parameters, instead.")
@click.option("--as-shipped", is_flag=True, help="Let BlazeFace keep its canvas and scales, which PaddleX has not.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="What toonface computes in; int8 is calibrated on the pictures.",
)
@click.option("--paddlex-bf16", is_flag=True, help="Let PaddleX compute in bf16, which is not its default.")
@pictures_option
@gallery_option
@click.option(
    "--concurrency", "concurrencies", type=click.IntRange(1), multiple=True, default=(1, 8), show_default=True
)
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of each, at each concurrency."
)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of one turn.")
@cache_option
@markdown_option
@json_option
def bench_compare(
    pipeline: Path,
    default_pair: bool,
    as_shipped: bool,
    precision: str,
    paddlex_bf16: bool,
    pictures: Path,
    gallery_list: Path,
    concurrencies: tuple[int, ...],
    rounds: int,
    seconds: float,
    cache: Path,
    markdown_file: Path | None,
    as_json: bool,
) -> None:
    """Compare with PaddleX: its pipeline in Python and its own server, and toonface's stages without the ensemble.

    All get the same Paddle models, pictures, gallery and number of threads on this machine, and take turns. PaddleX is
    set up in an environment of its own, with pinned versions; the report says what it needed to run. Pictures for the
    BlazeFaces are laid on the detector's canvas before, so that both sides see the same pixels and find the same
    faces; `--as-shipped` sends them as they are.

    \b
    Examples:
      toonface bench compare --rounds 3 --seconds 5
      toonface bench compare --default-pair --markdown compare.md
    """
    try:
        from toonface_benchmarks import common_ground, compare, compare_report, paddlex_environment
    except ModuleNotFoundError as error:
        raise missing("compare", error) from error
    from toonface_server.cpus import usable_cpus

    encoded = read_pictures(pictures)
    python = paddlex_environment.paddlex_python(cache, progress_console.print)
    if default_pair:
        pipeline = common_ground.random_default_pair(cache, progress_console.print)
    with tempfile.TemporaryDirectory() as scratch:
        ground = common_ground.prepare(
            pipeline,
            Path(scratch) / "repository",
            equal=not as_shipped,
            trained=not default_pair,
            tell=progress_console.print,
            precision=precision,
            calibration=pictures if precision == "int8" else None,
        )
        report = compare.measure(
            ground,
            python,
            encoded,
            gallery_list,
            concurrencies=concurrencies,
            rounds=rounds,
            seconds=seconds,
            paddlex_bf16=paddlex_bf16,
            tell=progress_console.print,
        ).as_dict()
    modules = ground.pipeline.modules
    about = {
        "command": shlex.join(["toonface", *sys.argv[1:]]),
        "machine": this_machine(),
        "models": f"{modules.detection.model_name}, {modules.recognition.model_name}"
        + (", random parameters" if default_pair else ""),
        "toonface": f"{ground.computed()}, asked for {precision}; {'as shipped' if as_shipped else 'equal looks'}",
        "PaddleX computes in": "bf16 by oneDNN (mkldnn_bf16)" if paddlex_bf16 else "f32 by oneDNN, its default on CPUs",
        "threads of each": usable_cpus(),
        "PaddleX": ", ".join(f"{name} {version}" for name, version in paddlex_environment.pinned().items()),
        "rounds": f"{rounds}, of {seconds:g} s a turn; medians, smallest and largest",
    }
    _show({"about": about, **report}, compare_report.markdown(report, about), markdown_file, as_json)


def _show(document: dict[str, Any], text: str, markdown_file: Path | None, as_json: bool) -> None:
    if markdown_file is not None:
        markdown_file.write_text(text, encoding="utf-8")
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        Console().print(Markdown(text))


def missing(command: str, error: ModuleNotFoundError) -> ConfigError:
    """What to say when a package of the extras is not installed."""
    return ConfigError(
        f"`toonface bench {command}` needs {error.name}, which is not installed: pip install "
        "'toonface[server,export,training]'"
    )
