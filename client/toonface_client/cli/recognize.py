"""The command `toonface recognize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toonface_client.calls import RecognizeOptions
from toonface_client.cli.options import (
    concurrency_option,
    counted,
    json_option,
    printable,
    progress,
    tables,
    with_client,
    write_error,
    write_json,
)
from toonface_client.cli.pictures import FoundPicture, find_pictures, save_paths
from toonface_client.client import ToonfaceClient
from toonface_client.draw import draw_result
from toonface_client.results import Face, RecognitionResult
from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_contract.options import MAX_FACES, MAX_TOPK, Group

_SHARE = click.FloatRange(0, 1)
_JPEG_QUALITY = 92


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--gallery", help="Gallery to search.  [default: the server's]")
@click.option("--det-threshold", type=_SHARE, help="A face counts above this detection score.  [default: the server's]")
@click.option("--rec-threshold", type=_SHARE, help="A name counts from this similarity on.  [default: the server's]")
@click.option("--topk", type=click.IntRange(1, MAX_TOPK), help="Matches to report a face.  [default: the server's]")
@click.option(
    "--group",
    type=click.Choice(get_args(Group)),
    help="Rank enrolled faces, or labels, each by its nearest face.  [default: the server's]",
)
@click.option("--max-faces", type=click.IntRange(1, MAX_FACES), help="Faces to name.  [default: the server's]")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the pictures with boxes and names drawn in.",
)
@json_option
@concurrency_option
@with_client
def recognize(
    client: ToonfaceClient,
    images: tuple[Path, ...],
    save: Path | None,
    as_json: bool,
    concurrency: int,
    **options: Any,
) -> None:
    """Name the faces in pictures.

    IMAGES are files and folders; folders are searched for pictures, those within them too. Each picture gets a table of
    its faces. A picture that fails does not stop the others; the command then ends with 1.

    \b
    Examples:
      toonface recognize picture.jpg
      toonface recognize holiday/ --gallery friends --save annotated/
      toonface recognize picture.jpg --topk 3 --json | jq '.pictures[0].result.faces[].label'
    """
    pictures = find_pictures(images, leave_out=save)
    targets = save_paths(pictures, save) if save else [None] * len(pictures)
    given = cast(RecognizeOptions, {name: value for name, value in options.items() if value is not None})
    client.ping()  # One clear error when there is no server, rather than one for each picture.
    outcomes = client.recognize_many([picture.path for picture in pictures], concurrency=concurrency, **given)
    console, failed = tables(), 0
    documents: list[dict[str, Any]] = []
    with progress(shown=as_json or not console.is_terminal) as bar:
        for picture, target, outcome in zip(bar.track(pictures), targets, outcomes, strict=True):
            document: dict[str, Any] = {"path": str(picture.path)}
            try:
                if isinstance(outcome, ToonfaceError):
                    raise outcome
                document["result"] = outcome.as_dict()
                if not as_json:
                    _show(console, picture, outcome)
                if target is not None:
                    _save(picture, outcome, target)
                    document["saved"] = str(target)
            except ToonfaceError as error:
                failed += 1
                document["error"] = {"code": error.code, "message": error.message}
                write_error(error, str(picture.path))
            documents.append(document)
    if as_json:
        write_json({"pictures": documents, "failed": failed})
    if failed:
        click.get_current_context().exit(1)


def _show(console: Console, picture: FoundPicture, result: RecognitionResult) -> None:
    found = counted(result.faces_found, "face") + (f", {result.cut} of them left out" if result.cut else "")
    title = f"{printable(str(picture.path))}  {result.width} x {result.height}, {found}"
    console.print(Text(title), soft_wrap=True)
    if not result.faces:
        return
    table = Table()
    table.add_column("name", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("box", justify="right")
    table.add_column("detection", justify="right")
    table.add_column("nearest", overflow="fold")
    for face in result.faces:
        table.add_row(*_row(face))
    console.print(table)


def _row(face: Face) -> tuple[Text, ...]:
    box = face.box
    return (
        Text(printable(face.label), style="bold" if face.known else "dim"),
        Text("" if face.score is None else f"{face.score:.3f}"),
        Text(f"{box.x1:.0f},{box.y1:.0f} {box.x2:.0f},{box.y2:.0f}"),
        Text(f"{face.detection_score:.3f}"),
        Text(", ".join(f"{printable(match.label)} {match.score:.3f}" for match in face.matches)),
    )


def _save(picture: FoundPicture, result: RecognitionResult, target: Path) -> None:
    drawing = draw_result(picture.path, result)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        drawing.save(target, quality=_JPEG_QUALITY)
    except OSError as error:
        raise ConfigError(f"cannot save {str(target)!r}: {error.strerror or error}") from error
