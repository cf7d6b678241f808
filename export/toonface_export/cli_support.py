"""What the commands of `toonface export` share: options, progress, and how a manifest is shown."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from toonface_export.bounds import MEANINGS

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def serving_options(command: _Command) -> _Command:
    """Adds the options that override a pipeline file's `Serving`, by its own names, `-o`, and `--bound`."""
    options = (
        click.option("--target", type=click.Choice(["cpu", "gpu"]), help="What the networks run on."),
        click.option(
            "--backend",
            type=click.Choice(["openvino", "onnxruntime", "tensorrt"]),
            help="Who computes them: openvino or onnxruntime on a CPU, tensorrt or onnxruntime on a GPU.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "f32", "bf16", "f16", "int8"]),
            help="What they compute in; int8 needs --calibration.",
        ),
        click.option(
            "--fall-back/--no-fall-back",
            default=None,
            help="Serve the next finer precision when one misses its bound; otherwise nothing is written.",
        ),
        click.option("--calibration", type=_FOLDER, help="Pictures like those that will be served, for int8."),
        click.option("--pictures", type=_FOLDER, help="Your own pictures to compare with Paddle on."),
        click.option(
            "-o",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any other key of `Serving`, such as candidates=1000, canvas=[320,480] or engine.workspace_mb=512; "
            "may be given several times, and wins over the options. --print-config shows the keys.",
        ),
        click.option(
            "--bound",
            multiple=True,
            metavar="[PRECISION.]FIGURE=LIMIT",
            help=f"Tighten a bound of parity; may be given several times. Figures: {', '.join(MEANINGS)}.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class Narrator:
    """Tells of each step on the standard error stream, with the seconds that have passed."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console, self._status, self._started = console, status, time.monotonic()

    def __call__(self, step: str) -> None:
        """A step begins."""
        self._status.update(Text(step))
        seconds = f"{time.monotonic() - self._started:5.1f} s"
        self._console.print(Text.assemble((seconds, "dim"), f"  {step}"), highlight=False)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self._console.print(f"note: {text}", highlight=False, soft_wrap=True)


@contextmanager
def narrated() -> Iterator[Narrator]:
    """Progress on the standard error stream. SIGTERM ends the work as an error would, and nothing half-made is left."""
    console = _plain(stderr=True)
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with console.status("read the models") as status:
            yield Narrator(console, status)
    finally:
        signal.signal(signal.SIGTERM, before)


def _plain(*, stderr: bool = False) -> Console:
    """Where text is shown as it is: paths and names of pictures may hold what rich takes for markup."""
    return Console(stderr=stderr, markup=False, emoji=False)


def finish(manifest: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Print a manifest on standard output: as JSON, or as a table."""
    if as_json:
        click.echo(json.dumps(manifest, indent=2, allow_nan=False))
    else:
        _plain().print(summary(manifest, folder))


def summary(manifest: Mapping[str, Any], folder: Path) -> Table:
    """A manifest, of a repository or of one network, as a table."""
    table = Table(title=str(folder), title_justify="left", show_header=False)
    networks = [manifest["detector"], manifest["recogniser"]] if "detector" in manifest else [manifest]
    for network in networks:
        _add_network(table, network)
    if "files" in manifest:
        table.add_row("files", str(len(manifest["files"])))
    return table


def _add_network(table: Table, network: Mapping[str, Any]) -> None:
    table.add_row("model", network["model_name"], style="bold")
    table.add_row("digest", network["digest"])
    for kind in ("inputs", "outputs"):
        tensors = (f"{name} {kind_} {dims}" for name, (kind_, dims) in network[kind].items())
        table.add_row(kind, f"{', '.join(tensors)}, batches up to {network['max_batch_size']}")
    served = f"{network['target']}, {network['backend']}, {network['precision']}"
    if network["asked_precision"] != network["precision"]:
        served += f" (asked: {network['asked_precision']})"
    table.add_row("served by", served)
    if "nms" in network:
        table.add_row("NMS", ", ".join(f"{name} {value}" for name, value in network["nms"].items()))
        table.add_row("pyramid levels", str(network["pyramid_levels"]))
    if "input" in network:
        size = f"{network['input']['height']}x{network['input']['width']} (height x width)"
        more = f"keep_ratio {network['input']['keep_ratio']}, interpolation {network['input']['interpolation']}"
        table.add_row("input", f"{size}, {more}")
    table.add_row("preprocessing", ", ".join(f"{name} {value}" for name, value in network["normalisation"].items()))
    table.add_row("nodes", str(network["nodes"]))
    for precision, counts in network.get("executed", {}).items():
        table.add_row(f"executed in {precision}", ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    if network.get("kept_in_f32"):
        table.add_row("kept in f32", ", ".join(network["kept_in_f32"]))
    if network["backend"] == "tensorrt":
        table.add_row("engine", _engine(network.get("engine")))
    table.add_row("source", ", ".join(f"{name} {digest[:12]}" for name, digest in network["source"].items()))
    table.add_row("tools", ", ".join(f"{name} {version}" for name, version in network["tools"].items()))
    table.add_row("pictures compared", str(network["pictures"]))
    parity = [(f"parity in {precision}", precision, figures) for precision, figures in network["parity"].items()]
    if engine := network.get("engine"):
        parity.append(("parity of the engine", network["precision"], engine.get("parity", {})))
    for title, precision, figures in parity:
        limits = network["bounds"][precision]
        lines = [_figure(name, figure, limits.get(name)) for name, figure in figures.items()]
        table.add_row(title, "\n".join(lines))
    for note in network["notes"]:
        table.add_row("note", note)


def _figure(name: str, figure: Mapping[str, Any], limit: float | None) -> str:
    if limit is None:
        return f"{name} {figure['value']:g}"
    where = f", worst in {figure['picture']}" if figure["value"] else ""
    return f"{name} {figure['value']:.2g} (allowed {limit:g}{where})"


def _engine(engine: Mapping[str, Any] | None) -> str:
    if engine is None:
        return "not built yet: toonface export engine, where it serves"
    layers = ", ".join(f"{count} {kind}" for kind, count in engine["layers"].items())
    return f"TensorRT {engine['tensorrt']}, {engine['gpu']} ({engine['compute_capability']}), layers {layers}"
