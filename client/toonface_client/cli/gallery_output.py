"""What the gallery's commands write."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table
from rich.text import Text

from toonface_client.cli.options import counted, printable, tables, write_json
from toonface_contract.admin import Change, FaceInfo


def report_change(change: Change, done: str, name: str, *, as_json: bool, dry_run: bool, counts: bool = True) -> None:
    """Writes what a change did, or would do; how many faces it concerned, unless it was the gallery itself."""
    if as_json:
        write_json({"gallery": name, "dry_run": dry_run, **change.model_dump()})
        return
    faces = f" {counted(len(change.ids), 'face')} of gallery" if counts else ""
    click.echo(f"{prefix(dry_run)}{done}{faces} {name!r}")


def prefix(dry_run: bool) -> str:
    """What comes before a sentence about something that was not done."""
    return "dry run, nothing was changed: " if dry_run else ""


def faces_table(faces: Sequence[FaceInfo], *more: tuple[str, Sequence[str]]) -> Table:
    """A table of faces; each of `more` is a column's title and its cells."""
    table = Table("id", "label", "source", "quality", "enrolled (UTC)", *(title for title, _ in more))
    for row, face in enumerate(faces):
        table.add_row(
            str(face.id),
            Text(printable(face.label)),
            Text(printable(face.source)),
            "" if face.quality is None else f"{face.quality:.2f}",
            f"{face.created:%Y-%m-%d %H:%M}",
            *(Text(printable(cells[row])) for _, cells in more),
        )
    return table


def print_table(table: Table, otherwise: str) -> None:
    """Prints a table, or a sentence where it has no rows."""
    tables().print(table if table.row_count else Text(otherwise))
