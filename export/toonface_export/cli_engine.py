"""The command `toonface export engine`."""

from __future__ import annotations

from pathlib import Path

import click

from toonface_export.bounds import MEANINGS
from toonface_export.cli_support import finish, narrated
from toonface_export.engines import rebuild


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--bound",
    multiple=True,
    metavar="[PRECISION.]FIGURE=LIMIT",
    help="Replace a bound of parity that stands in the manifest; may be given several times. Figures: "
    f"{', '.join(MEANINGS)}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, and nothing else, on standard output.")
def engine(folder: Path, bound: tuple[str, ...], as_json: bool) -> None:
    """Build the TensorRT engines of an export, on the GPU that serves them.

    FOLDER is a repository that `toonface export PIPELINE --target gpu` wrote, or a model of `toonface export model`, on
    any machine. Run this in the container that serves, on its GPU: an engine runs with the TensorRT version and on the
    GPU that built it. Each engine is held against Paddle's answers, which travelled in the folder, by the bounds in its
    manifest; Paddle itself is not needed. The folder stays as it was until the new engines are complete.

    \b
    Example:
      toonface export engine build/repository
    """
    with narrated() as progress:
        manifest = rebuild(folder, progress, bound)
    finish(manifest, folder, as_json)
