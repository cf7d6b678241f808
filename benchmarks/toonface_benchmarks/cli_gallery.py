"""The command `toonface bench gallery`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from toonface_benchmarks import gallery
from toonface_benchmarks.cli_options import progress_console


@click.command("gallery")
@click.option(
    "--faces", "sizes", type=click.IntRange(5000), multiple=True, default=(10_000, 100_000), show_default=True
)
@click.option(
    "--index",
    "types",
    multiple=True,
    default=("auto", "Flat", "IVF", "HNSW32", "SQfp16", "SQ8", "IVF,SQfp16", "IVF,SQ8", "IVF,RaBitQ,Refine(SQfp16)"),
    show_default=True,
    help="Index type; `auto` is the one that the server would choose.",
)
@click.option("--dimension", type=click.IntRange(2), default=512, show_default=True)
@click.option("--hnsw-most", type=int, default=100_000, show_default=True, help="Faces up to which HNSW is built.")
@click.option(
    "--paddlex/--no-paddlex",
    default=True,
    show_default=True,
    help="Measure PaddleX's ways too.",
)
@click.option("--writer/--no-writer", default=True, show_default=True, help="Measure searches beside a writer too.")
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(), help="For files."
)
@click.option(
    "--plot", "plot_path", type=click.Path(dir_okay=False, path_type=Path), help="Picture of recall and latency."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def bench_gallery(
    sizes: tuple[int, ...],
    types: tuple[str, ...],
    dimension: int,
    hnsw_most: int,
    paddlex: bool,
    writer: bool,
    folder: Path,
    plot_path: Path | None,
    as_json: bool,
) -> None:
    """Measure galleries of made-up faces: each index type, PaddleX's ways, and searches beside a writer.

    \b
    Example:
      toonface bench gallery --faces 10000 --faces 100000 --plot recall.png
      toonface bench gallery --faces 1000000 --index auto --index "IVF,RaBitQ,Refine(SQfp16)" --json > million.json
    """
    reports = gallery.measure(
        sizes,
        types,
        folder,
        dimension=dimension,
        slow_most=hnsw_most,
        paddlex=paddlex,
        writer=writer,
        progress=progress_console.print,
    )
    if plot_path is not None:
        from toonface_benchmarks.gallery_plot import plot

        plot(reports, plot_path)
    if as_json:
        click.echo(json.dumps([report.as_dict() for report in reports], indent=2))
        return
    for report in reports:
        _show(report)


def _show(report: gallery.SizeReport) -> None:
    console = Console()
    table = Table(
        "index",
        "planned",
        "build, s (CPU s)",
        "memory, MB",
        "of it anonymous",
        "start, s (CPU s)",
        "recall@1",
        "recall@5",
        "p50, ms",
        "p99, ms",
        "CPU ms",
        "in batches, 1/s",
        title=f"{report.faces:,} faces; enrolled {report.enrolled_per_second:,.0f} a second, "
        f"{report.enrolled_per_cpu_second:,.0f} a second of the processor; {report.store_mb:,.0f} MB",
    )
    for asked, built in report.indices.items():
        recall = report.recalls[asked]
        table.add_row(
            asked,
            built.index,
            f"{built.build_seconds:.1f} ({built.build_cpu_seconds:.1f})",
            f"{built.memory_mb:,.0f}",
            f"{built.anonymous_mb:,.0f}",
            f"{built.start_seconds:.2f} ({built.start_cpu_seconds:.2f})",
            f"{recall.at_1:.3f}",
            f"{recall.at_5:.3f}",
            f"{built.searches.p50_ms:.2f}",
            f"{built.searches.p99_ms:.2f}",
            f"{built.searches.cpu_ms:.2f}",
            f"{built.batch_per_second:,.0f}",
        )
    console.print(table)
    for way, recall, rounds in report.reloading:
        console.print(
            f"PaddleX's way: {way.index}, {rounds} rounds of k-means, built in {way.build_seconds:.1f} s; recall@1 "
            f"{recall.at_1:.3f}, @5 {recall.at_5:.3f}; a request p50 {way.searches.p50_ms:.1f} ms, p99 "
            f"{way.searches.p99_ms:.1f} ms, of which the search {way.search_ms:.2f} ms"
        )
    beside = report.beside_writer
    if beside is not None:
        console.print(
            f"Searches beside a writer of {beside.changes_per_second:.0f} changes a second: "
            f"p50 {beside.written[0]:.2f} ms, p99 {beside.written[1]:.2f} ms; "
            f"without p50 {beside.quiet[0]:.2f} ms, p99 {beside.quiet[1]:.2f} ms; "
            f"{beside.failed} failed; a change was found after {beside.longest_lag_seconds:.2f} s at the latest"
        )
