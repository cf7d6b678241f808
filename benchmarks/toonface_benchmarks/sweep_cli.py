"""The command `toonface bench sweep`."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from toonface_benchmarks.cli_options import gallery_option, progress_console, read_pictures, repository_option
from toonface_benchmarks.ensemble import GALLERY
from toonface_benchmarks.machine import this_machine
from toonface_benchmarks.perf_analyzer import Load, LoadKind, PerfAnalyzer
from toonface_benchmarks.picture_mix import MixedPicture, picture_mix
from toonface_benchmarks.serving import serving_gallery
from toonface_benchmarks.sweep import Budget, sweep
from toonface_benchmarks.sweep_report import write_report

_ROOT = Path(__file__).resolve().parents[2]
_MIX_SEED = 0


@click.command("sweep")
@click.option("--address", help="gRPC address of a running server.  [default: one is started over --repository]")
@click.option("--gallery", help="Gallery to search on that server.  [default: that of --gallery-list, enrolled]")
@repository_option
@gallery_option
@click.option(
    "--pictures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pictures to send.  [default: a mix of sizes and numbers of faces, drawn from a seed]",
)
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Pictures of that mix.")
@click.option("--concurrency", type=click.IntRange(1), multiple=True, help="Requests in flight; repeat it for more.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), multiple=True, help="Requests a second instead.")
@click.option("--seconds", type=float, default=9.0, show_default=True, help="Length of one measurement.")
@click.option(
    "--stages/--no-stages",
    default=True,
    show_default=True,
    help="Measure each stage by itself, too, with what the server's stages make of the pictures.",
)
@click.option(
    "--latency-budget",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="Find the most load whose p95 keeps within it, among those given or by a search; add a capacity table.",
)
@click.option(
    "--search",
    type=click.Choice(["concurrency", "rate"]),
    default="rate",
    show_default=True,
    help="What --latency-budget varies where no load is given: requests a second at random times, or callers who wait.",
)
@click.option(
    "--perf-analyzer",
    type=click.Path(path_type=Path),
    default=_ROOT / "build" / "perf_analyzer" / "perf_analyzer",
    help="NVIDIA's binary.  [default: the one of `make perf-analyzer`]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=_ROOT / "build" / "sweep",
    help="Folder of the report.  [default: build/sweep]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead of the report.")
def bench_sweep(
    address: str | None,
    gallery: str | None,
    repository: Path,
    gallery_list: Path,
    pictures: Path | None,
    count: int,
    concurrency: tuple[int, ...],
    rate: tuple[float, ...],
    seconds: float,
    stages: bool,
    latency_budget: float | None,
    search: LoadKind,
    perf_analyzer: Path,
    output: Path,
    as_json: bool,
) -> None:
    """Put rising loads on a server with NVIDIA's perf_analyzer, and report what it bears.

    The report has latency percentiles, waiting and computing times, plots, and perf_analyzer's own CSV files beside it.
    Stages are measured by themselves as well, with the inputs that the same pictures make for them.

    \b
    Examples:
      toonface bench sweep --concurrency 1 --concurrency 4 --concurrency 16
      toonface bench sweep --address triton.example:8001 --gallery staff --rate 50 --rate 100
      toonface bench sweep --latency-budget 200
    """
    if concurrency and rate:
        raise click.UsageError("--concurrency and --rate exclude each other: a load is one or the other")
    if gallery and not address:
        raise click.UsageError("--gallery names one of a running server: give its --address, too")
    loads: list[Load] | Budget = [Load("rate", value) for value in sorted(rate)]
    if latency_budget is not None and not (rate or concurrency):
        loads = Budget(search, latency_budget)
    loads = loads or [Load("concurrency", value) for value in sorted(concurrency or (1, 2, 4, 8, 16))]
    output.mkdir(parents=True, exist_ok=True)
    encoded, kind = _pictures(pictures, count)
    with contextlib.ExitStack() as stack:
        if address is None:
            progress_console.print("starting a server")
            address = stack.enter_context(serving_gallery(repository, GALLERY, gallery_list)).address
            gallery = GALLERY
        sweeps = list(
            sweep(
                PerfAnalyzer(perf_analyzer, address),
                encoded,
                loads,
                output,
                seconds=seconds,
                gallery=gallery or "default",
                stages=stages,
                progress=progress_console.print,
            )
        )
    about = {
        "command": shlex.join(["toonface", *sys.argv[1:]]),
        "server": address,
        "pictures": kind,
        "client": this_machine(),
    }
    report = write_report(sweeps, output, about=about, latency_budget_ms=latency_budget)
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in sweeps], indent=1))
        return
    click.echo(report.read_text(encoding="utf-8"))
    progress_console.print(f"{report}, with its plots and figures beside it")


def _pictures(folder: Path | None, count: int) -> tuple[Sequence[bytes], str]:
    """Encoded pictures, and what the report says of them."""
    if folder is not None:
        encoded = read_pictures(folder)
        return encoded, f"{len(encoded)} of {folder}"
    progress_console.print("drawing the pictures")
    mix = list(picture_mix(count, _MIX_SEED))
    return [each.encoded for each in mix], shares(mix)


def shares(mix: Sequence[MixedPicture]) -> str:
    """How many pictures of a mix have which size, and how many faces are in them."""
    sizes = sorted(Counter((each.width, each.height) for each in mix).items())
    faces = sorted(Counter(each.faces for each in mix).items())
    of_sizes = ", ".join(f"{width}x{height} {_percent(number, mix)}" for (width, height), number in sizes)
    of_faces = ", ".join(f"{many} {_percent(number, mix)}" for many, number in faces)
    return f"{len(mix)} drawn ones; sizes: {of_sizes}; faces: {of_faces}"


def _percent(number: int, mix: Sequence[MixedPicture]) -> str:
    return f"{100 * number / len(mix):.0f} %"
