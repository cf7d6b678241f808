"""The command `toonface export model`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toonface_contract.options import RecognitionOptions
from toonface_export.bounds import BOUNDS, tightened
from toonface_export.cli_support import finish, narrated, serving_options
from toonface_export.serving import Serving
from toonface_export.single_model import export_model

_DEFAULTS = RecognitionOptions()


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder of the Triton model to write.")
@click.option(
    "--det-threshold", default=_DEFAULTS.det_threshold, show_default=True, type=click.FloatRange(0, 1),
    help="A face counts above it: which decisions are compared.",
)  # fmt: skip
@click.option(
    "--rec-threshold", default=_DEFAULTS.rec_threshold, show_default=True, type=click.FloatRange(0, 1),
    help="A name counts from it on: which decisions are compared.",
)  # fmt: skip
@serving_options
@click.option("--engine-later", is_flag=True, help="Leave TensorRT's engine to `toonface export engine`.")
@click.option("--force", is_flag=True, help="Replace the output folder even if it holds something else.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, and nothing else, on standard output.")
def model(
    folder: Path,
    output: Path,
    det_threshold: float,
    rec_threshold: float,
    settings: tuple[str, ...],
    bound: tuple[str, ...],
    engine_later: bool,
    force: bool,
    as_json: bool,
    **serving: Any,
) -> None:
    """Export one inference folder as one Triton model.

    FOLDER is what PaddleX wrote: inference.json, inference.pdiparams and inference.yml of a detector or an embedder.
    The output folder holds config.pbtxt, the model's file and its manifest, model.json, and is named as the model will
    be.

    \b
    Examples:
      toonface export model models/MobileFaceNet --output build/models/my_embedder
      toonface export model models/MobileFaceNet --target gpu --output build/models/my_embedder
      toonface export model models/BlazeFace-FPN-SSH -o canvas=[320,480] -o pyramid_levels=2 --output build/models/small
    """
    options = RecognitionOptions(det_threshold=det_threshold, rec_threshold=rec_threshold)
    with narrated() as progress:
        manifest = export_model(
            folder,
            output,
            Serving().changed(settings, **serving),
            options,
            progress,
            bounds=tightened(BOUNDS, bound),
            force=force,
            engine_later=engine_later,
        )
        for note in manifest["notes"]:
            progress.note(note)
        if manifest.get("engine", manifest) is None:
            progress.note(f"the engine is yet to be built, where it serves: toonface export engine {output}")
    finish(manifest, output, as_json)
