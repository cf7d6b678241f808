"""The report of a comparison: what was compared, and the tables, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

# What PaddleX 3.7.2 needs to run a comparison at all, and what is asked of it.
MENDS = (
    "NormalizeFeatures._normalize returns a list of rows; as it is, `build_index` fails on these embedders",
    "restructured_boxes leaves boxes out that have no pixel; as it is, the pipeline fails on them",
    "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK=True, and PADDLE_PDX_LOCAL_FONT_FILE_PATH at a font of its own packages: it "
    "looks for hosts of models and downloads a font otherwise",
    "OMP_NUM_THREADS and PADDLE_PDX_CPU_NUM_THREADS at the threads above; it takes 10 otherwise",
    "its pipeline is called from one thread, as in its server, since its networks fail in others; callers wait",
    "its server is asked not to draw its answers (`visualize`), and its pipeline reads pictures from files",
    "it computes one picture at a time, as it does by default; its plug-in for high performance is not tried; "
    "toonface's client enrols four pictures at a time",
)


def markdown(report: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The report of `CompareReport.as_dict`, with what it says of itself above the tables."""
    lines = [*(f"- {name}: {value}" for name, value in about.items())]
    lines += ["- mends and settings of PaddleX:", *(f"  - {mend}" for mend in MENDS), ""]
    lines += ["| callers | who | requests | pictures/s | p50, ms | p95, ms | toonface is faster, times |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for row in report["loads"]:
        figures = f"{row['requests']} | {_speed(row)} | {row['p50_ms']:.0f} | {row['p95_ms']:.0f}"
        lines.append(f"| {row['concurrency']} | {row['contender']} | {figures} | {_times(row)} |")
    lines += ["", "| enrolment by | pictures/s | toonface is faster, times |", "| --- | --- | --- |"]
    for row in report["enrolments"]:
        lines.append(f"| {row['contender']} | {_speed(row)} | {_times(row)} |")
    lines += ["", "| who | faces found a picture |", "| --- | --- |"]
    for name, found in report["faces"].items():
        lines.append(f"| {name} | {statistics.fmean(found):.2f} ({', '.join(map(str, found))}) |")
    return "\n".join([*lines, ""])


def _speed(row: Mapping[str, Any]) -> str:
    low, high = row["per_second_range"]
    return f"{row['per_second']:.1f} ({low:.1f} to {high:.1f})"


def _times(row: Mapping[str, Any]) -> str:
    if row["contender"] == "toonface":
        return "–"
    low, high = row["toonface_times_range"]
    return f"{row['toonface_times']:.2f} ({low:.2f} to {high:.2f})"
