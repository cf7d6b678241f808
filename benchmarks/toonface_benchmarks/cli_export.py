"""The command `toonface bench export`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from toonface_benchmarks.cli_options import progress_console
from toonface_contract.errors import ConfigError

_ROOT = Path(__file__).resolve().parents[2]


@click.command("export")
@click.option(
    "--model", "models", multiple=True, help="Model to measure; may be given several times.  [default: all six]"
)
@click.option(
    "--models-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_ROOT / "models",
    help="Folder with inference folders by name; the rest get random parameters.  [default: the demo's]",
)
@click.option("--threads", type=click.IntRange(1), help="Threads of each engine.  [default: all cores]")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of each engine.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Length of one turn at one batch.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def bench_export(
    models: tuple[str, ...], models_dir: Path, threads: int | None, rounds: int, seconds: float, as_json: bool
) -> None:
    """Compare every form of the exported models with Paddle Inference on oneDNN.

    Each engine runs in a process of its own with the same number of threads, and they take turns. Paddle's time
    includes its NMS and not the normalisation of the pictures; an exported graph's is the other way round. CPU ms is
    the processor time of one picture in a batch of 8, all threads together, which other work on the machine disturbs
    less. The form in f16 is for GPUs: its row has no times, and its rounding is emulated.

    \b
    Example:
      toonface bench export --model ResNet50_face --rounds 3
    """
    try:
        from toonface_benchmarks import export, export_table
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`toonface bench export` needs {error.name}, which is not installed: pip install "
            "'toonface[server,export,training]'"
        ) from error
    from toonface_server.cpus import usable_cpus

    unknown = sorted(set(models) - set(export.MODELS))
    if unknown:
        raise click.UsageError(f"model {unknown[0]!r} is not known; there are {', '.join(export.MODELS)}")
    rows: list[export.Row] = []
    if not as_json:
        click.echo(export_table.head())
    for measured in export.measure(
        models or export.MODELS,
        models_dir,
        threads=threads or usable_cpus(),
        rounds=rounds,
        seconds=seconds,
        progress=progress_console.print,
    ):
        rows += measured
        if not as_json:
            click.echo(export_table.lines(measured))
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=2))
