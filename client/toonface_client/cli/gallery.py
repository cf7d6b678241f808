"""The commands `toonface gallery ...`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from toonface_client.cli.gallery_list import ListedPicture, read_gallery_list
from toonface_client.cli.options import (
    concurrency_option,
    counted,
    json_option,
    printable,
    progress,
    tables,
    with_admin_client,
    with_client,
    write_error,
    write_json,
)
from toonface_client.cli.pictures import find_pictures
from toonface_client.client import ToonfaceClient
from toonface_client.enrolment import LabelledPicture
from toonface_contract.admin import Change, FaceInfo, GalleryInfo
from toonface_contract.options import Crop

_LIST = click.Path(exists=True, dir_okay=False, path_type=Path)

_crop_option = click.option(
    "--crop",
    type=click.Choice(["whole", "faces"]),
    default="whole",
    show_default=True,
    help="The picture is the face, as PaddleX takes it; or find the one face in it.",
)


@click.group()
def gallery() -> None:
    """Change and list the galleries of enrolled faces.

    Changes are searchable within a second; no model is reloaded.

    \b
    Examples:
      toonface gallery build friends friends/gallery.txt
      toonface gallery add friends new.jpg --label Joey
      toonface gallery list friends
      toonface gallery remove friends --label Gunther
    """


@gallery.command()
@click.argument("name")
@click.argument("list_file", metavar="LIST.txt", type=_LIST)
@_crop_option
@click.option("--replace", is_flag=True, help="Let an existing gallery of this name give way.")
@json_option
@concurrency_option
@with_admin_client
def build(
    client: ToonfaceClient,
    name: str,
    list_file: Path,
    crop: Crop,
    replace: bool,
    as_json: bool,
    concurrency: int,
) -> None:
    """Make the gallery NAME from a list of pictures.

    LIST.txt is PaddleX's: a line for each picture, `path label`, with paths relative to the list. A bad picture fails
    alone, and the command then ends with 1.

    \b
    Example:
      toonface gallery build friends friends/gallery.txt
    """
    _enrol(client, name, read_gallery_list(list_file), crop, concurrency, as_json, build=True, replace=replace)


@gallery.command()
@click.argument("name")
@click.argument(
    "sources", metavar="LIST.txt|IMAGE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--label", help="Whose face the pictures show; without it, one LIST.txt says so.")
@_crop_option
@json_option
@concurrency_option
@with_admin_client
def add(
    client: ToonfaceClient,
    name: str,
    sources: tuple[Path, ...],
    label: str | None,
    crop: Crop,
    as_json: bool,
    concurrency: int,
) -> None:
    """Enrol more faces into the gallery NAME.

    \b
    Examples:
      toonface gallery add friends more.txt
      toonface gallery add friends joey1.jpg joey2.jpg --label Joey
      toonface gallery add friends portraits/joey/ --label Joey
    """
    if label is not None:
        found = find_pictures(sources)
        pictures = [ListedPicture(each.path, label, str(each.path), str(each.path)) for each in found]
    elif len(sources) == 1 and sources[0].suffix.lower() == ".txt":
        pictures = read_gallery_list(sources[0])
    else:
        raise click.UsageError("give one LIST.txt, or pictures with --label NAME")
    _enrol(client, name, pictures, crop, concurrency, as_json)


@gallery.command()
@click.argument("name")
@click.option("--id", "ids", type=int, multiple=True, help="Id of a face, as `list` shows it; may be repeated.")
@click.option("--label", "labels", multiple=True, help="Remove all faces with this label; may be repeated.")
@json_option
@with_admin_client
def remove(client: ToonfaceClient, name: str, ids: tuple[int, ...], labels: tuple[str, ...], as_json: bool) -> None:
    """Remove faces from the gallery NAME, all or none.

    \b
    Examples:
      toonface gallery remove friends --id 17 --id 18
      toonface gallery remove friends --label Gunther
    """
    if not ids and not labels:
        raise click.UsageError("give --id or --label")
    _report_change(client.remove_faces(name, ids=ids, labels=labels), "removed", name, as_json)


@gallery.command()
@click.argument("name")
@json_option
@with_admin_client
def drop(client: ToonfaceClient, name: str, as_json: bool) -> None:
    """Remove the gallery NAME with all its faces."""
    _report_change(client.drop_gallery(name), "dropped", name, as_json)


@gallery.command("list")
@click.argument("name", required=False)
@click.option("--label", help="Only faces with this label.")
@json_option
@with_client
def list_(client: ToonfaceClient, name: str | None, label: str | None, as_json: bool) -> None:
    """List all galleries, or the faces of the gallery NAME."""
    if name is None:
        if label is not None:
            raise click.UsageError("--label needs the NAME of a gallery")
        _show_galleries(client.galleries(), as_json)
    else:
        _show_faces(name, list(client.faces(name, label=label)), as_json)


def _enrol(
    client: ToonfaceClient,
    name: str,
    pictures: list[ListedPicture],
    crop: Crop,
    concurrency: int,
    as_json: bool,
    *,
    build: bool = False,
    replace: bool = False,
) -> None:
    with progress() as bar:
        report = client.enrol(
            name,
            (LabelledPicture(each.path, each.label, each.source) for each in bar.track(pictures)),
            crop=crop,
            build=build,
            replace=replace,
            concurrency=concurrency,
        )
    for listed, picture in zip(pictures, report.pictures, strict=True):
        if picture.error is not None:
            write_error(picture.error, listed.place)
    if as_json:
        write_json({"gallery": name, **report.as_dict()})
    else:
        click.echo(f"enrolled {report.enrolled} of {counted(len(report.pictures), 'picture')} into gallery {name!r}")
    if report.failed:
        click.get_current_context().exit(1)


def _report_change(change: Change, done: str, name: str, as_json: bool) -> None:
    if as_json:
        write_json({"gallery": name, **change.model_dump()})
    else:
        click.echo(f"{done} {counted(len(change.ids), 'face')} of gallery {name!r}")


def _show_galleries(galleries: list[GalleryInfo], as_json: bool) -> None:
    if as_json:
        write_json({"galleries": [each.model_dump(mode="json") for each in galleries]})
        return
    table = Table("gallery", "faces", "labels", "dimension", "embedder", "created (UTC)")
    for each in galleries:
        table.add_row(
            Text(each.name),
            str(each.faces),
            str(each.labels),
            str(each.dimension),
            Text(each.embedder[:12]),
            f"{each.created:%Y-%m-%d %H:%M}",
        )
    tables().print(table if galleries else "no galleries")


def _show_faces(name: str, faces: list[FaceInfo], as_json: bool) -> None:
    if as_json:
        write_json({"gallery": name, "faces": [each.model_dump(mode="json") for each in faces]})
        return
    table = Table("id", "label", "source", "created (UTC)")
    for each in faces:
        table.add_row(
            str(each.id), Text(printable(each.label)), Text(printable(each.source)), f"{each.created:%Y-%m-%d %H:%M}"
        )
    tables().print(table if faces else Text(f"no faces in gallery {name!r}"))
