"""The commands `toonface gallery list`, `show` and `stats`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table
from rich.text import Text

from toonface_client.cli.gallery_list import read_ids
from toonface_client.cli.gallery_output import faces_table, print_table
from toonface_client.cli.options import (
    counted,
    json_option,
    printable,
    tables,
    with_admin_client,
    with_client,
    write_json,
)
from toonface_client.client import ToonfaceClient
from toonface_client.results import Match
from toonface_contract.admin import MAX_PAGE, FaceInfo, Galleries, GalleryStats

_LIST = click.Path(exists=True, dir_okay=False, path_type=Path)
# Neighbours among which one of another label is looked for.
_NEAREST = 20


@click.command("list")
@click.argument("name", required=False)
@click.option("--label", help="Only faces with this label.")
@click.option("--limit", type=click.IntRange(min=1), help="Faces to list, at most.  [default: all]")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Begin after this id, as the last page says.")
@json_option
@with_client
def list_(
    client: ToonfaceClient, name: str | None, label: str | None, limit: int | None, after: int, as_json: bool
) -> None:
    """List all galleries, or the faces of the gallery NAME.

    \b
    Examples:
      toonface gallery list
      toonface gallery list friends --label Joey
      toonface gallery list friends --limit 100 --after 4711
    """
    if name is None:
        if label is not None or limit is not None or after:
            raise click.UsageError("--label, --limit and --after need the NAME of a gallery")
        _show_galleries(client.gallery_list(), as_json)
        return
    wanted = None if limit is None else limit + 1
    found = list(islice(client.faces(name, label=label, after_id=after), wanted))
    faces = found[:limit]
    following = faces[-1].id if len(found) > len(faces) else None
    if as_json:
        document = {"gallery": name, "faces": [each.model_dump(mode="json") for each in faces]}
        write_json({**document, "next_after": following})
        return
    print_table(faces_table(faces), f"no faces in gallery {name!r}")
    if following is not None:
        click.echo(f"there are more: --after {following}")


@click.command()
@click.argument("name")
@click.option("--id", "ids", type=int, multiple=True, help="Id of a face, as `list` shows it; may be repeated.")
@click.option("--ids-file", type=_LIST, help="File with an id a line.")
@click.option("--label", help="All faces with this label.")
@json_option
@with_admin_client
def show(
    client: ToonfaceClient, name: str, ids: tuple[int, ...], ids_file: Path | None, label: str | None, as_json: bool
) -> None:
    """Show faces of the gallery NAME, and how near others are to them.

    For each face the nearest other one of its label, which should be near, and the nearest of another label, which
    should not: a picture under the wrong name is nearer to another label than to its own.

    \b
    Examples:
      toonface gallery show friends --id 17
      toonface gallery show friends --label Joey
    """
    wanted = [*ids, *(read_ids(ids_file) if ids_file else ())]
    if bool(wanted) == (label is not None):
        raise click.UsageError("give either --id (or --ids-file), or --label")
    faces: list[FaceInfo] = []
    rows: list[Any] = []
    for start in range(0, max(len(wanted), 1), MAX_PAGE):
        some = wanted[start : start + MAX_PAGE] or None
        for page in client.face_pages(name, label=label, ids=some, embeddings=True):
            faces += page.faces
            rows += [] if page.embeddings is None else [page.embeddings]
    matches = client.search(name, np.concatenate(rows), topk=_NEAREST) if faces else []
    own = [_nearest(found, face, same=True) for found, face in zip(matches, faces, strict=True)]
    other = [_nearest(found, face, same=False) for found, face in zip(matches, faces, strict=True)]
    missing = sorted(set(wanted) - {face.id for face in faces})
    if as_json:
        document = [
            {
                **face.model_dump(mode="json"),
                "nearest_own": mine and mine.as_dict(),
                "nearest_other": not_mine and not_mine.as_dict(),
            }
            for face, mine, not_mine in zip(faces, own, other, strict=True)
        ]
        write_json({"gallery": name, "faces": document, "missing": missing})
    else:
        table = faces_table(faces, ("nearest of its label", _cells(own)), ("nearest of another", _cells(other)))
        print_table(table, f"no such faces in gallery {name!r}")
    if missing:
        click.echo(f"error: not_found: gallery {name!r} has no face with id {', '.join(map(str, missing))}", err=True)
    if missing or not faces:
        click.get_current_context().exit(1)


@click.command()
@click.argument("name")
@json_option
@with_client
def stats(client: ToonfaceClient, name: str, as_json: bool) -> None:
    """Say how large the gallery NAME is, and what is in it.

    \b
    Example:
      toonface gallery stats friends --json
    """
    found = client.stats(name)
    if as_json:
        write_json(found.model_dump(mode="json"))
    else:
        _show_stats(found)


def _nearest(matches: Sequence[Match], face: FaceInfo, *, same: bool) -> Match | None:
    return next((match for match in matches if match.id != face.id and (match.label == face.label) == same), None)


def _cells(matches: Sequence[Match | None]) -> list[str]:
    return ["" if match is None else f"{match.score:.3f} {match.label} (id {match.id})" for match in matches]


def _show_galleries(found: Galleries, as_json: bool) -> None:
    if as_json:
        write_json(found.model_dump(mode="json"))
        return
    table = Table("gallery", "faces", "labels", "index", "dimension", "embedder", "created (UTC)")
    for each in found.galleries:
        foreign = found.embedder and each.embedder != found.embedder
        table.add_row(
            Text(each.name),
            str(each.faces),
            str(each.labels),
            Text(f"{each.index_type or 'automatic'}, {each.metric}"),
            str(each.dimension),
            Text(_short(each.embedder) + (" (not the server's)" if foreign else "")),
            f"{each.created:%Y-%m-%d %H:%M}",
        )
    print_table(table, "no galleries")


def _show_stats(found: GalleryStats) -> None:
    gallery = found.gallery
    table = Table(show_header=False)
    rows = {
        "faces": str(gallery.faces),
        "labels": f"{gallery.labels}, {found.single} of them with one face only",
        "most faces": ", ".join(f"{printable(each.label)} ({each.faces})" for each in found.most),
        "quality": "not known"
        if found.quality is None
        else f"{found.quality:.2f} on average, of {counted(found.rated, 'face')}",
        "enrolled": f"{found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC"
        if found.first and found.last
        else "never",
        "index": f"{gallery.index_type or 'automatic'}, metric {gallery.metric}",
        "which is": f"{found.chosen_index} ({found.index_reason})" if found.chosen_index else "not known",
        "embedder": f"{gallery.embedder}, dimension {gallery.dimension}",
        "last change": str(found.sequence),
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    tables().print(table)


def _short(embedder: str) -> str:
    return embedder.removeprefix("sha256:")[:12]
