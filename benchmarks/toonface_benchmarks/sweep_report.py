"""The report of a sweep: Markdown with its tables and plots, and the figures as JSON and CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toonface_benchmarks.sweep import Sweep
from toonface_contract.names import FACE_RECOGNITION

# Pictures a second for which the capacity table says how many servers they need.
CAPACITIES = (10, 50, 100, 500, 1000)

_COLUMNS = ("throughput", "p50", "p90", "p95", "p99", "queue", "compute")


def write_report(
    sweeps: Sequence[Sweep], folder: Path, *, about: Mapping[str, Any], latency_budget_ms: float | None = None
) -> Path:
    """Write `report.md`, `latency.png`, `stages.png`, `sweep.json` and `sweep.csv` into `folder`.

    Args:
        sweeps: the ensemble's first.
        folder: exists.
        about: what the report says of itself above the tables: the machine, the server, the pictures, the command.
        latency_budget_ms: for the capacity table; without it there is none.

    Returns:
        The path of `report.md`.
    """
    document = {"about": dict(about), "sweeps": [each.as_dict() for each in sweeps]}
    (folder / "sweep.json").write_text(json.dumps(document, indent=1) + "\n")
    _write_csv(sweeps, folder / "sweep.csv")
    _plot_latency(sweeps, folder / "latency.png")
    lines = ["# Sweep", "", *(f"- {name}: {value}" for name, value in about.items()), ""]
    for each in sweeps:
        lines += _table(each)
        if each.model == FACE_RECOGNITION:
            lines += ["![Latency against throughput](latency.png)", ""]
            if any(each.stages):
                _plot_stages(each, folder / "stages.png")
                lines += ["![Where a request's time goes](stages.png)", ""]
            if latency_budget_ms is not None:
                lines += _capacity(each, latency_budget_ms)
    report = folder / "report.md"
    report.write_text("\n".join(lines), encoding="utf-8")
    return report


def servers_needed(pictures_a_second: float, throughput: float) -> int:
    """Servers that keep up with a load, each of which answers `throughput` pictures a second within the budget."""
    return math.ceil(pictures_a_second / throughput)


def _table(each: Sweep) -> list[str]:
    rows = f", {each.rows} rows a request" if each.rows > 1 else ""
    lines = [f"## {each.model}{rows}", ""]
    unit = "rows/s" if each.rows > 1 else "requests/s"
    lines += [f"| load | {unit} | p50, ms | p90, ms | p95, ms | p99, ms | waiting, ms | in the models, ms |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for measurement in each.measurements:
        figures = " | ".join(_cell(getattr(measurement, name)) for name in _COLUMNS)
        lines.append(f"| {measurement.load.kind} {measurement.load.value:g} | {figures} |")
    return [*lines, ""]


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.1f}"


def _capacity(each: Sweep, budget_ms: float) -> list[str]:
    best = each.within(budget_ms)
    lines = [f"## Capacity with 95 % of the answers within {budget_ms:g} ms", ""]
    if best is None:
        lowest = min(measurement.p95 for measurement in each.measurements)
        return [*lines, f"None of the loads kept within it: the lowest 95th percentile was {lowest:.0f} ms.", ""]
    one = f"One server: {best.throughput:.1f} pictures a second"
    if best.load.kind == "rate":
        lines += [f"{one}, which come at random times, {best.load.value:g} a second on average.", ""]
    else:
        lines += [
            f"{one} at concurrency {best.load.value:g}: of callers who wait for their answers before they ask again",
            "(a closed loop). Requests that come independently of each other meet by chance and queue: they need more",
            "servers than the table says, and `--search rate` measures how many.",
            "",
        ]
    lines += ["| pictures a second | servers |", "| --- | --- |"]
    lines += [f"| {load} | {servers_needed(load, best.throughput)} |" for load in CAPACITIES]
    return [*lines, ""]


def _write_csv(sweeps: Sequence[Sweep], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "rows", "load", "value", *_COLUMNS])
        for each in sweeps:
            for measurement in each.measurements:
                load = measurement.load
                figures = [getattr(measurement, name) for name in _COLUMNS]
                writer.writerow([each.model, each.rows, load.kind, load.value, *figures])


def _plot_latency(sweeps: Sequence[Sweep], path: Path) -> None:
    figure, axes = _figure()
    for each in sweeps:
        throughputs = [measurement.throughput for measurement in each.measurements]
        label = f"{each.model}, rows/s" if each.rows > 1 else each.model
        axes.plot(throughputs, [measurement.p50 for measurement in each.measurements], marker="o", label=label)
        if each.model == FACE_RECOGNITION:
            p95 = [measurement.p95 for measurement in each.measurements]
            axes.plot(throughputs, p95, marker="o", linestyle="--", color=axes.lines[-1].get_color(), label="its p95")
    axes.set(xlabel="requests a second, or rows where the legend says so", ylabel="latency, ms")
    axes.set(xscale="log", yscale="log")
    axes.legend()
    figure.savefig(path)


def _plot_stages(each: Sweep, path: Path) -> None:
    figure, axes = _figure()
    known = [pair for pair in zip(each.measurements, each.stages, strict=True) if pair[1]]
    loads = [f"{measurement.load.value:g}" for measurement, _ in known]
    bottom = [0.0] * len(loads)
    for number, first in enumerate(known[0][1]):
        colour = f"C{number}"
        for part, alpha in (("compute", 1.0), ("queue", 0.4)):
            heights = [getattr(times[number], part) for _, times in known]
            label = first.stage if part == "compute" else None
            axes.bar(loads, heights, bottom=bottom, color=colour, alpha=alpha, label=label)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set(xlabel=each.measurements[0].load.kind, ylabel="ms of a request; pale: waiting for the stage")
    axes.legend()
    figure.savefig(path)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    return figure, figure.subplots()
