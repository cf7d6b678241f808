"""The command `toonface fetch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from toonface_export.fetch import CACHE_ENV, MIRROR_ENV, Fetched, Place, fetch_item, make_place
from toonface_export.fetch_catalogue import ITEMS, PADDLEX_ADDRESS, Item, find_item
from toonface_export.fetch_lock import LOCK_FILE, read_lock


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listing", is_flag=True, help="Say what there is to fetch, and what is here already.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    show_default=f"${CACHE_ENV}, or toonface/ in your cache folder",
    help="Folder to put it into.",
)
@click.option(
    "--mirror",
    envvar=MIRROR_ENV,
    default=PADDLEX_ADDRESS,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where to fetch from: PaddleX's store, or a copy of it.",
)
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default=f"{LOCK_FILE} in the output folder",
    help="File that holds each item's SHA-256 from its first use on.",
)
@click.option("--renew", is_flag=True, help="Fetch again, whatever is here and in the lock file, and take what comes.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document, for programs.")
def fetch(
    names: tuple[str, ...],
    listing: bool,
    output: Path | None,
    mirror: str,
    lock_file: Path | None,
    renew: bool,
    as_json: bool,
) -> None:
    """Get PaddleX's models and data sets by name.

    A model's name alone is its inference model, which `toonface export` takes; NAME_pretrained are the parameters to
    fine-tune from. The data sets are those of PaddleX's face recognition tutorials. Archives are unpacked; a download
    that breaks off is taken up where it stopped; and what was fetched once is the same ever after, or refused.

    \b
    Example:
      toonface fetch --list
      toonface fetch MobileFaceNet BlazeFace-FPN-SSH
      toonface fetch cartoonface_demo_gallery --output .
    """
    place = make_place(output, lock_file, mirror)
    if listing:
        _list([find_item(name) for name in names] or ITEMS, place, as_json)
        return
    if not names:
        raise click.UsageError("Missing argument 'NAME'; `toonface fetch --list` shows what there is.")
    items = list(dict.fromkeys(find_item(name) for name in names))
    with _progress() as progress:
        fetched = [_fetch_one(item, place, progress, renew) for item in items]
    if as_json:
        click.echo(json.dumps([_described(one) for one in fetched], indent=2))
    else:
        for one in fetched:
            click.echo(one.path)


def _fetch_one(item: Item, place: Place, progress: Progress, renew: bool) -> Fetched:
    task = progress.add_task(item.name, total=None)
    fetched = fetch_item(
        item, place, lambda size, total: progress.update(task, completed=size, total=total), renew=renew
    )
    progress.update(task, completed=fetched.locked.size, total=fetched.locked.size)
    what = "fetched" if fetched.new else "was here already"
    Console(stderr=True).print(f"{item.name} {what}: {fetched.locked.size} bytes", style="dim", highlight=False)
    return fetched


def _progress() -> Progress:
    """A bar for each item on standard error; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def _described(fetched: Fetched) -> dict[str, Any]:
    return {
        "name": fetched.item.name,
        "kind": fetched.item.kind,
        "path": str(fetched.path),
        "new": fetched.new,
        "size": fetched.locked.size,
        "sha256": fetched.locked.sha256,
    }


def _list(items: tuple[Item, ...] | list[Item], place: Place, as_json: bool) -> None:
    locked = read_lock(place.lock_file).items
    rows = [
        {
            "name": item.name,
            "kind": item.kind,
            "about": item.about,
            "url": f"{place.address}/{item.path}",
            "path": str(place.folder / item.name) if (place.folder / item.name).exists() else None,
            "sha256": locked[item.path].sha256 if item.path in locked else None,
        }
        for item in items
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    table.add_column("here")
    for row in rows:
        table.add_row(str(row["name"]).removesuffix(".pdparams"), row["about"], "yes" if row["path"] else "")
    Console().print(table)
