"""What several commands of `toonface bench` share: options, where progress is told, and the pictures they name."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

_ROOT = Path(__file__).resolve().parents[2]

progress_console = Console(stderr=True, style="dim", markup=False, emoji=False)
"""Where a command tells what it is doing; names of pictures and paths may hold what rich takes for markup."""

repository_option = click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=_ROOT / "build" / "repository",
    help="Exported repository to serve.  [default: the demo's]",
)
pictures_option = click.option(
    "--pictures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_ROOT / "demo" / "pictures",
    help="Folder of pictures to send.  [default: the demo's]",
)
gallery_option = click.option(
    "--gallery-list",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=_ROOT / "demo" / "gallery" / "gallery.txt",
    help="PaddleX list of the gallery to search.  [default: the demo's]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")


def read_pictures(folder: Path) -> list[bytes]:
    """The files of a folder, in the order of their names.

    Raises:
        click.UsageError: there are none.
    """
    pictures = [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    if not pictures:
        raise click.UsageError(f"{folder} has no pictures")
    return pictures
