"""The commands `toonface bench soak` and `toonface bench overload`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from toonface_benchmarks import overload, soak
from toonface_benchmarks.cli_options import (
    gallery_option,
    json_option,
    pictures_option,
    progress_console,
    read_pictures,
    repository_option,
)
from toonface_benchmarks.ensemble import GALLERY
from toonface_benchmarks.machine import this_machine
from toonface_benchmarks.serving import serving_gallery
from toonface_benchmarks.soak_report import write_report
from toonface_client.cli.options import tables

_ROOT = Path(__file__).resolve().parents[2]


_timeout = click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Seconds for a request."
)


@click.command("soak")
@repository_option
@pictures_option
@gallery_option
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Load as a share of the capacity that the server shows before, and again about every five minutes.",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Pictures a second instead of a share.")
@click.option(
    "--writes",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Gallery changes a second: faces added and removed.",
)
@_timeout
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=_ROOT / "build" / "soak",
    help="Folder of the report.  [default: build/soak]",
)
@json_option
def bench_soak(
    repository: Path,
    pictures: Path,
    gallery_list: Path,
    minutes: float,
    share: float,
    rate: float | None,
    writes: float,
    timeout: float,
    output: Path,
    as_json: bool,
) -> None:
    """Load a server for long while its gallery changes: does a request fail, does memory grow?

    The server is started for the purpose, so that the memory of its processes can be watched. Pictures come at random
    times, as from many callers; what is not answered is not tried again, and is a failure, refusals included. As the
    machine's own speed may change, the load pauses about every five minutes while the capacity is measured anew; with
    --rate it does not. The exit status is 1 if anything failed, a process was restarted, or the memory of one grew. If
    the server ends, so does the load, and the report is of what was until then.

    \b
    Examples:
      toonface bench soak
      toonface bench soak --minutes 15 --share 0.5
    """
    output.mkdir(parents=True, exist_ok=True)
    progress_console.print("starting a server")
    with serving_gallery(repository, GALLERY, gallery_list) as server:
        report = asyncio.run(
            soak.measure(
                server,
                GALLERY,
                read_pictures(pictures),
                seconds=60 * minutes,
                share=share,
                rate=rate,
                writes=writes,
                timeout=timeout,
                progress=progress_console.print,
            )
        )
    about = {"command": _command(), "machine": this_machine(), "pictures": str(pictures)}
    path = write_report(report, output, about=about)
    click.echo(json.dumps(report.as_dict(), indent=1) if as_json else path.read_text(encoding="utf-8"))
    progress_console.print(f"{path}, with its plot and figures beside it")
    if report.faults():
        raise click.exceptions.Exit(1)


@click.command("overload")
@click.option("--address", help="gRPC address of a running server.  [default: one is started over --repository]")
@click.option("--gallery", help="Gallery to search on that server.  [default: the demo's, enrolled for the purpose]")
@repository_option
@pictures_option
@gallery_option
@click.option(
    "--times", type=click.FloatRange(1), default=3.0, show_default=True, help="Load as a multiple of the peak."
)
@click.option("--seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="Length of the load.")
@click.option(
    "--aim",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Share of the peak that has to remain, for the exit status.",
)
@_timeout
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the report as JSON, with what became of each request.",
)
@json_option
def bench_overload(
    address: str | None,
    gallery: str | None,
    repository: Path,
    pictures: Path,
    gallery_list: Path,
    times: float,
    seconds: float,
    aim: float,
    timeout: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Ask more of a server than it can answer: how much is still answered, and how soon is the rest refused?

    The peak is measured before and after with callers who wait for their answers. The load does not wait, and nothing
    is tried again. The exit status is 1 if too little of the peak remains, if a request is neither answered nor refused
    as overloaded, or if one refusal in twenty takes longer than a tenth of an answer at the peak.

    \b
    Examples:
      toonface bench overload
      toonface bench overload --address triton.example:8001 --gallery staff --pictures photos/
    """
    if gallery and not address:
        raise click.UsageError("--gallery names one of a running server: give its --address, too")
    with contextlib.ExitStack() as stack:
        if address is None:
            progress_console.print("starting a server")
            address = stack.enter_context(serving_gallery(repository, GALLERY, gallery_list)).address
            gallery = GALLERY
        report, outcomes = asyncio.run(
            overload.measure(
                address,
                gallery or "default",
                read_pictures(pictures),
                times=times,
                seconds=seconds,
                timeout=timeout,
                progress=progress_console.print,
            )
        )
    faults = report.faults(aim)
    document = {"command": _command(), "client": this_machine(), **report.as_dict(), "faults": faults}
    if output is not None:
        rows = [[round(each.due, 4), round(each.latency, 4), each.code] for each in outcomes]
        output.write_text(json.dumps({**document, "requests": rows}) + "\n")
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        _show(report, faults)
    if faults:
        raise click.exceptions.Exit(1)


def _show(report: overload.OverloadReport, faults: Sequence[str]) -> None:
    table = Table("what", "value", title="Overload")
    first, second = report.peak_runs
    table.add_row("peak, before and after", f"{first:.1f} and {second:.1f} a second")
    table.add_row("offered", f"{report.offered_per_second:.1f} a second, {report.times:.2f} times the better peak")
    table.add_row("goodput", f"{report.goodput_per_second:.1f} a second, {report.share:.0%} of the peak")
    answers = f"p50 {report.answered_p50:.0f}, p95 {report.answered_p95:.0f}, p99 {report.answered_p99:.0f} ms"
    table.add_row("answered", f"{report.answered}; {answers}")
    refusals = f"p50 {report.refused_p50:.1f}, p95 {report.refused_p95:.1f}, p99 {report.refused_p99:.1f} ms"
    table.add_row("refused", f"{report.refused}; {refusals}")
    table.add_row("failed", ", ".join(f"{number} {code}" for code, number in report.failed.items()) or "none")
    tables().print(table)
    for fault in faults:
        click.echo(fault)


def _command() -> str:
    return shlex.join(["toonface", *sys.argv[1:]])
