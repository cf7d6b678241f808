"""The command `toonface export inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from toonface_export.cli_support import finish
from toonface_export.digests import MANIFEST, MODEL_MANIFEST, read_json


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest itself.")
def inspect(folder: Path, as_json: bool) -> None:
    """Show what an export was made from, and how far it is from Paddle.

    FOLDER is a repository, or one model in it. The embedder's digest is what a gallery is tied to.
    """
    single = folder / MODEL_MANIFEST
    finish(read_json(single if single.is_file() else folder / MANIFEST), folder, as_json)
