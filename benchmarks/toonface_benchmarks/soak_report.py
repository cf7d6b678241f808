"""The report of a soak: Markdown, a plot, and the figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toonface_benchmarks.process_memory import GROWTH_MB, GROWTH_SHARE
from toonface_benchmarks.soak import SoakReport


def write_report(report: SoakReport, folder: Path, *, about: Mapping[str, Any]) -> Path:
    """Write `report.md`, `soak.png` and `soak.json` into `folder`, which exists; returns the path of `report.md`."""
    document = {"about": dict(about), "soak": report.as_dict()}
    (folder / "soak.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    _plot(report, folder / "soak.png")
    path = folder / "report.md"
    path.write_text("\n".join(_lines(report, about)), encoding="utf-8")
    return path


def _lines(report: SoakReport, about: Mapping[str, Any]) -> list[str]:
    lines = ["# Soak", "", *(f"- {name}: {value}" for name, value in about.items())]
    lines += [f"- load: {_load(report)}, for {report.seconds / 60:.1f} minutes", ""]
    faults = report.faults()
    lines += ["**Nothing failed, and no memory grew.**" if not faults else "**Faults:**", ""]
    lines += [f"- {fault}" for fault in faults] + [""] * bool(faults)
    lines += ["| what | |", "| --- | --- |"]
    lines += [f"| requests | {report.requests} |", f"| answered | {report.answered} |"]
    if report.share is not None:
        failed = sum(report.measuring_failed.values())
        measuring = report.measuring_answered + failed
        lines.append(f"| requests that measured the capacity, failed ones | {measuring}, {failed} |")
    lines += [f"| gallery changes, failed ones | {report.written}, {sum(report.write_failed.values())} |"]
    lines += [f"| p50, p95, p99 | {report.p50:.0f}, {report.p95:.0f}, {report.p99:.0f} ms |"]
    busy = [window for window in report.windows if window.requests > window.failed]
    worst = max(busy, key=lambda window: window.p95, default=None)
    if worst is not None:
        lines.append(f"| highest p95 of a window, at | {worst.p95:.0f} ms, {worst.begin:.0f} s |")
    if report.share is not None:
        lines += ["", "| from minute | it can answer, 1/s | asked for, 1/s |", "| --- | --- | --- |"]
        for pace in report.paces:
            capacity = "not measured" if pace.capacity_per_second is None else f"{pace.capacity_per_second:.1f}"
            lines.append(f"| {pace.begin / 60:.1f} | {capacity} | {pace.rate:.1f} |")
    lines += ["", "| process | memory, MB | rise after the warm-up, MB | MB an hour | grows |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for each in report.growths:
        figures = f"{each.median_mb:.0f} | {each.rise_mb:+.1f} | {each.mb_an_hour:+.1f}"
        lines.append(f"| {each.process} | {figures} | {'yes' if each.grows else 'no'} |")
    lines += [
        "",
        "A process grows if a straight line through its memory (PSS; Theil and Sen's) from a quarter of the",
    ]
    lines += [f"run on rises by more than {GROWTH_MB:g} MB and by more than {GROWTH_SHARE:.0%} of its median.", ""]
    return [*lines, "![Load, latency and memory over time](soak.png)", ""]


def _load(report: SoakReport) -> str:
    rates = [pace.rate for pace in report.paces]
    load = f"{_range(rates)} pictures a second"
    if report.share is None:
        return load
    capacities = [pace.capacity_per_second for pace in report.paces if pace.capacity_per_second is not None]
    return f"{load}, {report.share:.0%} of the {_range(capacities)} that it can answer"


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def _plot(report: SoakReport, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), dpi=120, layout="constrained")
    load, latency, memory = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2, 2))
    ends = [*(pace.begin / 60 for pace in report.paces), report.seconds / 60]
    load.stairs([pace.rate for pace in report.paces], ends, baseline=None, label="asked for")
    if report.share is not None:
        load.plot(ends[:-1], [pace.capacity_per_second for pace in report.paces], "o", label="it can answer")
    load.set(ylabel="pictures a second", ylim=(0, None))
    load.legend()
    begins = [window.begin / 60 for window in report.windows]
    for name in ("p50", "p95", "p99"):
        latency.plot(begins, [getattr(window, name) for window in report.windows], label=name)
    failed = [window for window in report.windows if window.failed]
    if failed:
        marks = [window.begin / 60 for window in failed], [0] * len(failed)
        latency.plot(*marks, "rx", label="requests failed")
    latency.set(ylabel="latency, ms", ylim=(0, None))
    latency.legend()
    minutes = [seconds / 60 for seconds in report.memory.seconds]
    for name, values in report.memory.megabytes.items():
        memory.plot(minutes, values, label=name)
    memory.set(xlabel="minutes", ylabel="memory (PSS), MB", ylim=(0, None))
    memory.legend(fontsize="x-small", ncols=3)
    figure.savefig(path)
