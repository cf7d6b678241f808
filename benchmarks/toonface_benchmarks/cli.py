"""The command `toonface bench`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from toonface_benchmarks import ensemble, startup
from toonface_benchmarks.cli_export import bench_export
from toonface_benchmarks.cli_gallery import bench_gallery
from toonface_benchmarks.cli_options import (
    gallery_option,
    json_option,
    pictures_option,
    progress_console,
    read_pictures,
    repository_option,
)
from toonface_benchmarks.compare_cli import bench_compare, cache_option, missing
from toonface_benchmarks.load_cli import bench_overload, bench_soak
from toonface_benchmarks.parity_cli import bench_parity
from toonface_benchmarks.sweep_cli import bench_sweep
from toonface_client.cli.options import tables
from toonface_training.networks import MODELS

_console = Console()


@click.group()
def bench() -> None:
    """Measure a served system. Nearly every figure in benchmarks/README.md is made by one of these commands."""


@bench.command("ensemble")
@repository_option
@click.option(
    "--default-pair",
    type=click.Choice(["auto", "f32", "bf16", "int8"]),
    help="Instead of a repository: PaddleX's default pair with random parameters, exported in this precision.",
)
@cache_option
@pictures_option
@gallery_option
@click.option("--concurrency", "concurrencies", type=click.IntRange(1), multiple=True, default=(1, 4, 8))
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Runs of each side, in turns.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of one run.")
@json_option
def bench_ensemble(
    repository: Path,
    default_pair: str | None,
    cache: Path,
    pictures: Path,
    gallery_list: Path,
    concurrencies: tuple[int, ...],
    rounds: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Compare the ensemble with the same functions called in one process, and show where a request's time goes.

    \b
    Example:
      toonface bench ensemble --repository build/repository --concurrency 1 --concurrency 4
      toonface bench ensemble --default-pair int8
    """
    encoded = read_pictures(pictures)
    with ExitStack() as stack:
        if default_pair is not None:
            repository = Path(stack.enter_context(TemporaryDirectory())) / "repository"
            _export_default_pair(repository, default_pair, cache, pictures)
        report = ensemble.measure(
            repository,
            encoded,
            gallery_list,
            concurrencies=concurrencies,
            rounds=rounds,
            seconds=seconds,
            progress=progress_console.print,
        )
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
        return
    stages = Table("stage", "waiting, ms", "in the stage, ms", title="One request at a time")
    for each in report.stages:
        stages.add_row(each.stage, f"{each.queue:.2f}", f"{each.compute:.2f}")
    stages.add_row("whole request, at the client", "", f"{report.request_ms:.2f}")
    _console.print(stages)
    table = Table(
        "callers",
        "ensemble, 1/s",
        "in one process, 1/s",
        "ratio",
        "to the best in one process",
        "p50, ms",
        "p95, ms",
        title="Throughput",
    )
    for comparison in report.comparisons:
        row = comparison.as_dict()
        low, high = row["ratio_range"]
        table.add_row(
            str(row["concurrency"]),
            f"{row['ensemble_per_second']:.1f}",
            f"{row['ceiling_per_second']:.1f}",
            f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})",
            f"{row['ensemble_per_second'] / report.best_ceiling:.2f}",
            f"{row['ensemble_p50_ms']:.0f}",
            f"{row['ensemble_p95_ms']:.0f}",
        )
    _console.print(table)


def _export_default_pair(folder: Path, precision: str, cache: Path, pictures: Path) -> None:
    try:
        from toonface_benchmarks import common_ground
    except ModuleNotFoundError as error:
        raise missing("ensemble --default-pair", error) from error
    common_ground.prepare(
        common_ground.random_default_pair(cache, progress_console.print),
        folder,
        equal=False,
        trained=False,
        tell=progress_console.print,
        precision=precision,
        calibration=pictures if precision == "int8" else None,
    )


@bench.command("startup")
@repository_option
@pictures_option
@gallery_option
@click.option(
    "--seconds", type=float, default=20.0, show_default=True, help="Length of the load for the memory's peak."
)
@json_option
def bench_startup(repository: Path, pictures: Path, gallery_list: Path, seconds: float, as_json: bool) -> None:
    """Time a server's start, its memory, and how long each stage is missed when its process is killed."""
    report = startup.measure(
        repository, read_pictures(pictures), gallery_list, seconds=seconds, progress=progress_console.print
    )
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
        return
    table = Table("what", "value", title="Start-up, memory, repair")
    table.add_row("ready", f"{report.ready_seconds:.1f} s")
    table.add_row("first answer to a client", f"{report.first_answer_seconds:.1f} s")
    table.add_row("memory, idle", f"{report.idle_mb:.0f} MB")
    table.add_row("memory, peak under load", f"{report.peak_mb:.0f} MB")
    for stage, seconds_missed in report.repair_seconds.items():
        table.add_row(f"{stage} killed, to the next right answer", f"{seconds_missed:.1f} s")
    _console.print(table)


for command in (bench_compare, bench_export, bench_gallery, bench_parity, bench_sweep, bench_soak, bench_overload):
    bench.add_command(command)


@bench.command("training")
@click.option("--steps", type=click.IntRange(1), default=10, show_default=True, help="Steps to time, after two.")
@click.option("--plain-too", is_flag=True, help="Measure without the environment of `toonface train` as well.")
@click.option("--model", "models", type=click.Choice(list(MODELS)), multiple=True, help="Only this one; repeatable.")
@json_option
def bench_training(steps: int, plain_too: bool, models: tuple[str, ...], as_json: bool) -> None:
    """How fast does each network train on this machine's CPU?"""
    from toonface_benchmarks.training import measure

    table = Table("model", "engine", "side", "batch", "environment", "pictures/s", "CPU s a picture")
    speeds = []
    for speed in measure(steps, plain_too=plain_too, models=models or tuple(MODELS)):
        trial = speed.trial
        progress_console.print(f"{trial.model} on {trial.engine}: {speed.pictures_per_second:.1f} pictures/s")
        speeds.append(asdict(speed))
        environment = "toonface train" if speed.tuned else "plain"
        figures = (f"{speed.pictures_per_second:.1f}", f"{speed.cpu_seconds_per_picture:.3f}")
        table.add_row(trial.model, trial.engine, str(trial.size), str(trial.batch), environment, *figures)
    if as_json:
        click.echo(json.dumps(speeds, indent=2))
    else:
        tables().print(table)
