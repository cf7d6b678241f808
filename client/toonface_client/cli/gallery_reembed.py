"""The command `toonface gallery re-embed`."""

from __future__ import annotations

from pathlib import Path

import click

from toonface_client.cli.gallery_enrol import crop_option
from toonface_client.cli.gallery_output import prefix
from toonface_client.cli.options import (
    concurrency_option,
    counted,
    dry_run_option,
    json_option,
    progress,
    with_admin_client,
    write_error,
    write_json,
)
from toonface_client.client import ToonfaceClient
from toonface_client.reembedding import reembed
from toonface_contract.options import Crop


@click.command("re-embed")
@click.argument("name")
@click.option(
    "--root",
    "roots",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    default=(Path(),),
    show_default="here",
    help="Folder that relative sources start from, such as that of the gallery's list; may be repeated.",
)
@crop_option
@click.option("--drop-lost", is_flag=True, help="Go on without the faces whose pictures cannot be embedded.")
@dry_run_option
@json_option
@concurrency_option
@with_admin_client
def re_embed(
    client: ToonfaceClient,
    name: str,
    roots: tuple[Path, ...],
    crop: Crop,
    drop_lost: bool,
    dry_run: bool,
    as_json: bool,
    concurrency: int,
) -> None:
    """Embed the pictures of the gallery NAME anew, for a server with another embedder.

    The pictures are those that the faces' sources name, as `toonface gallery list` shows them. The new gallery is made
    aside and takes the old one's place in one moment; until then nothing changes. Pictures that are missing or fail are
    listed, and keep everything as it was, unless --drop-lost says to go on without them. Labels, sources and qualities
    stay; faces get new ids.

    \b
    Examples:
      toonface gallery re-embed friends --root friends/ --dry-run
      toonface gallery re-embed friends --root friends/
    """
    with progress() as bar:
        report = reembed(
            client,
            name,
            roots,
            crop=crop,
            drop_lost=drop_lost,
            dry_run=dry_run,
            concurrency=concurrency,
            track=bar.track,
        )
    for lost in report.lost:
        write_error(lost.error, f"face {lost.face.id}, {lost.face.label!r}")
    done = report.change is not None
    if as_json:
        document = {"gallery": name, "dry_run": dry_run, "faces": report.faces, "embedded": report.embedded}
        write_json({**document, "replaced": done, "lost": [each.as_dict() for each in report.lost]})
    elif done:
        click.echo(f"embedded {counted(report.embedded, 'face')} of gallery {name!r} anew, {len(report.lost)} lost")
    elif dry_run:
        found = f"{report.faces - len(report.lost)} of {counted(report.faces, 'picture')}"
        click.echo(f"{prefix(dry_run)}found {found} of gallery {name!r}")
    else:
        click.echo(
            f"gallery {name!r} was left as it is: {counted(len(report.lost), 'face')} would be lost; "
            "give more --root folders, or --drop-lost"
        )
    if report.lost and not (done and drop_lost):
        click.get_current_context().exit(1)
