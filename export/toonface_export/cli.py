"""The command `toonface export`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from toonface_export.parity import BOUNDS
from toonface_export.pipeline import Backend, Pipeline, read_pipeline
from toonface_export.repository import export_repository


@click.command()
@click.argument("pipeline", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder of the model repository to write."
)
@click.option(
    "--backend",
    type=click.Choice(["openvino", "onnxruntime"]),
    help="Who computes the networks; overrides Serving.backend of the pipeline file.",
)
@click.option("--force", is_flag=True, help="Replace the output folder even if it holds something else.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, and nothing else, on standard output.")
def export(pipeline: Path, output: Path, backend: Backend | None, force: bool, as_json: bool) -> None:
    """Turn PaddleX models into a model repository for Triton.

    PIPELINE is PaddleX's own face_recognition.yaml: SubModules.Detection.model_dir and SubModules.Recognition.model_dir
    name the two inference folders, relative to the file. Further keys may stand under `Serving`.

    Both networks are converted to ONNX with their preprocessing inside and the detector's NMS outside, and held against
    Paddle on the same pictures; one that differs by more than its bound is not written. An older repository in the
    output folder stays in place until the new one is complete.

    \b
    Example:
      toonface export models/face_recognition.yaml --output build/repository
      toonface serve --repository build/repository
    """
    console = Console(stderr=True)
    content = read_pipeline(pipeline)
    if backend is not None:
        content = content.with_backend(backend)
    if content.index is not None:
        console.print(
            f"note: index {content.index} is not exported; import it into the running server: "
            f"toonface gallery import default {pipeline}",
            highlight=False,
        )
    manifest = _export(content, output, force, console)
    if as_json:
        click.echo(json.dumps(manifest, indent=2))
    else:
        Console().print(_summary(manifest, output))


def _export(content: Pipeline, output: Path, force: bool, console: Console) -> dict[str, Any]:
    started = time.monotonic()
    with console.status("read the models") as status:

        def progress(step: str) -> None:
            status.update(step)
            console.print(f"[dim]{time.monotonic() - started:5.1f} s[/dim]  {step}", highlight=False)

        return export_repository(content, output, progress, force=force)


def _summary(manifest: dict[str, Any], output: Path) -> Table:
    table = Table(title=f"Model repository {output}", title_justify="left", show_header=False)
    detector, recogniser = manifest["detector"], manifest["recogniser"]
    size = detector["input"]
    table.add_row(
        "detector",
        f"{detector['model_name']}, {size['width']}x{size['height']} pixels, "
        f"{detector['pyramid_levels']} pyramid level(s), {detector['anchors']} anchors",
    )
    table.add_row("embedder", f"{recogniser['model_name']}, {manifest['dimension']} numbers, {manifest['embedder']}")
    table.add_row("backend", f"{manifest['serving']['backend']}, precision {manifest['serving']['precision']}")
    for name, figure in {**detector["parity"], **recogniser["parity"]}.items():
        if name in BOUNDS:
            table.add_row(f"parity: {name}", f"{figure:.2g} (allowed {BOUNDS[name].limit:g})")
    table.add_row("files", str(len(manifest["files"])))
    return table
