"""The command `toonface bench parity`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markdown import Markdown

from toonface_benchmarks.cli_options import gallery_option, json_option, pictures_option, progress_console
from toonface_benchmarks.compare_cli import cache_option, markdown_option, missing, pipeline_option

if TYPE_CHECKING:
    from toonface_benchmarks.parity import Differences

_DRAWN_SEED = 1


@click.command("parity")
@pipeline_option
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["auto", "f32", "bf16", "int8"]),
    multiple=True,
    default=("f32",),
    show_default=True,
    help="Compare this one; repeat it for more. Only f32 must be equal; auto is what is served unless asked for.",
)
@click.option("--as-shipped", is_flag=True, help="Also compare f32 with BlazeFace's own canvas and scales.")
@pictures_option
@click.option("--count", type=click.IntRange(0), default=20, show_default=True, help="Drawn pictures besides.")
@gallery_option
@cache_option
@markdown_option
@json_option
@click.pass_context
def bench_parity(
    context: click.Context,
    pipeline: Path,
    precisions: tuple[str, ...],
    as_shipped: bool,
    pictures: Path,
    count: int,
    gallery_list: Path,
    cache: Path,
    markdown_file: Path | None,
    as_json: bool,
) -> None:
    """Compare the answers with PaddleX's, picture by picture: boxes, scores, labels, ranks.

    In f32, with pictures that the detector sees as PaddleX's does, boxes must agree within half a pixel, scores within
    a thousandth, labels and ranks wholly; the exit code is 1 where they do not. Of the coarser precisions the changed
    decisions are counted.

    \b
    Example:
      toonface bench parity --precision f32 --precision bf16 --precision int8 --as-shipped
    """
    try:
        from toonface_benchmarks import common_ground, paddlex_environment, parity
        from toonface_benchmarks.picture_mix import picture_mix
    except ModuleNotFoundError as error:
        raise missing("parity", error) from error

    named = [(path.name, path.read_bytes()) for path in sorted(pictures.iterdir()) if path.is_file()]
    drawn = enumerate(picture_mix(count, _DRAWN_SEED)) if count else ()
    named += [(f"drawn {number}", each.encoded) for number, each in drawn]
    if not named:
        raise click.UsageError(f"{pictures} has no pictures")
    python = paddlex_environment.paddlex_python(cache, progress_console.print)
    settings = [(precision, True) for precision in precisions] + [("f32", False)] * as_shipped
    found: dict[str, Differences] = {}
    for precision, equal in settings:
        name = precision if equal else f"{precision}, as shipped"
        progress_console.print(name)
        with tempfile.TemporaryDirectory() as scratch:
            ground = common_ground.prepare(
                pipeline,
                Path(scratch) / "repository",
                equal=equal,
                trained=precision in ("auto", "f32"),  # what a coarser one loses is to be counted, and not refused
                tell=progress_console.print,
                precision=precision,
                calibration=pictures if precision == "int8" else None,
            )
            found[name] = parity.compare(ground, python, named, gallery_list, progress_console.print)
    text = _table(found)
    if markdown_file is not None:
        markdown_file.write_text(text, encoding="utf-8")
    if as_json:
        click.echo(json.dumps({name: each.as_dict() for name, each in found.items()}, indent=2, ensure_ascii=False))
    else:
        Console().print(Markdown(text))
    if "f32" in found and not found["f32"].equal:
        for line in found["f32"].where:
            click.echo(line, err=True)
        context.exit(1)


def _table(found: Mapping[str, Differences]) -> str:
    lines = ["| toonface in | pictures | faces | changed decisions | of them lost, added, other label | boxes, px |"]
    lines[0] += " detection scores | similarities | other ranks | equal |"
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, each in found.items():
        changed = f"{each.decisions} | {each.lost}, {each.added}, {each.labels}"
        largest = f"{each.pixels:.2g} | {each.detection_score:.1g} | {each.similarity:.1g}"
        ranks = f"{each.ranks} of {each.faces - each.lost} | {'yes' if each.equal else 'no'}"
        lines.append(f"| {name} | {each.pictures} | {each.faces} | {changed} | {largest} | {ranks} |")
    return "\n".join([*lines, ""])
