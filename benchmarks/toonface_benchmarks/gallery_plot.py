"""The plot of recall against latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toonface_benchmarks.gallery import SizeReport


def plot(reports: Sequence[SizeReport], path: Path) -> None:
    """Draw a panel for each size: each index type a line over its sweep, its default a large mark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(reports), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, report in zip(figure.subplots(1, len(reports), squeeze=False)[0], reports, strict=True):
        for asked, built in report.indices.items():
            latencies = [each.p50_ms for each in built.sweep]
            recalls = [each.at_1 for each in report.sweep_recalls[asked]]
            (line,) = panel.plot(latencies, recalls, marker=".", linewidth=1)
            own = report.recalls[asked].at_1
            panel.plot(built.searches.p50_ms, own, "o", markersize=8, color=line.get_color(), label=asked)
        for (reloading, recall, _), mark in zip(report.reloading, ("kx", "k+"), strict=False):
            panel.plot(reloading.searches.p50_ms, recall.at_1, mark, label=f"PaddleX's way, {reloading.index}")
        panel.set_xscale("log")
        panel.set_title(f"{report.faces:,} faces")
        panel.set_xlabel("one search, median, ms")
        panel.set_ylabel("recall@1")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    figure.savefig(path, dpi=110)
