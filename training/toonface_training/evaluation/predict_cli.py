"""The command `toonface predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toonface_client.cli.options import json_option, printable, progress, tables, write_error, write_json
from toonface_client.cli.pictures import FoundPicture, find_pictures, save_paths
from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_training.evaluation.outputs import must_be_writable
from toonface_training.evaluation.predict import MOST_TILES, Embedded, Seen, embed, save, see
from toonface_training.evaluation.subject_options import with_subject
from toonface_training.evaluation.subjects import Detector, Embedder
from toonface_training.evaluation.subjects.opening import Subject

SHEET = "nearest.png"

Documents = list[dict[str, Any]]


@click.command()
@with_subject
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--save", "folder", type=click.Path(file_okay=False, path_type=Path), help="Folder for what is drawn.")
@click.option(
    "--det-threshold",
    type=click.FloatRange(0, 1),
    help="A face counts above this score.  [default: as deployed, else 0.6]",
)
@click.option("--embed", "embeds", is_flag=True, help="Of a detector and an embedder, ask the embedder.")
@json_option
def predict(
    subject: Subject,
    pictures: tuple[Path, ...],
    folder: Path | None,
    det_threshold: float | None,
    embeds: bool,
    as_json: bool,
) -> None:
    """Show what one model makes of pictures.

    SUBJECT is a model as for `toonface evaluate`: a Paddle inference folder, parameters, a pipeline file, an exported
    repository, or a live server. PICTURES are files and folders. A detector finds faces, and draws them into the
    pictures; an embedder takes each picture as one face, and shows it beside the one that is most similar.

    \b
    Examples:
      toonface predict output/best_model demo/pictures --save predicted/
      toonface predict models/MobileFaceNet demo/gallery --save predicted/
      toonface predict build/repository picture.jpg --json
    """
    found = find_pictures(pictures, leave_out=folder)
    if folder is not None:
        must_be_writable(folder)
    console = None if as_json else tables()
    embedded = None
    if subject.detector is not None and not embeds:
        threshold = subject.det_threshold if det_threshold is None else det_threshold
        documents = _detect(subject.detector, found, threshold, folder, console)
    else:
        if det_threshold is not None:
            raise ConfigError("--det-threshold changes nothing for an embedder; leave it out")
        if folder is not None:
            _must_not_overwrite(folder / SHEET, found)
        embedded, documents = _embed(subject.must_embed(), found, console)
    failed = sum("error" in document for document in documents)
    if as_json:
        write_json({"subject": subject.name, "pictures": documents, "failed": failed})
    if embedded is not None and embedded.paths and folder is not None:
        save(embedded.drawn(), folder / SHEET)
        if console is not None and len(embedded.paths) > MOST_TILES:
            console.print(f"{folder / SHEET} shows the first {MOST_TILES} of {len(embedded.paths):,} pictures")
    if failed:
        click.get_current_context().exit(1)


def _detect(
    detector: Detector, pictures: Sequence[FoundPicture], threshold: float, folder: Path | None, console: Console | None
) -> Documents:
    targets = save_paths(pictures, folder) if folder else [None] * len(pictures)
    documents: Documents = []
    with progress(shown=console is None or not console.is_terminal) as bar:
        for picture, target in zip(bar.track(pictures, description="look for faces"), targets, strict=True):
            try:
                seen = see(detector, picture.path, threshold)
                document = seen.as_dict()
                if target is not None:
                    save(seen.drawn(), target)
                    document["saved"] = str(target)
                if console is not None:
                    _show_faces(console, seen)
            except ToonfaceError as error:
                document = _failed(picture.path, error)
            documents.append(document)
    return documents


def _embed(embedder: Embedder, pictures: Sequence[FoundPicture], console: Console | None) -> tuple[Embedded, Documents]:
    embedded, failed = embed(embedder, [picture.path for picture in pictures])
    if console is not None:
        _show_nearest(console, embedded)
    return embedded, embedded.as_dicts() + [_failed(path, error) for path, error in failed.items()]


def _must_not_overwrite(sheet: Path, pictures: Sequence[FoundPicture]) -> None:
    """Refuses to draw over one of the pictures, which may be what an earlier call drew: that is no face to embed."""
    if sheet.resolve() in {picture.path.resolve() for picture in pictures}:
        raise ConfigError(f"saving would overwrite the picture {str(sheet)!r}; give another folder")


def _failed(path: Path, error: ToonfaceError) -> dict[str, Any]:
    write_error(error, str(path))
    return {"path": str(path), "error": {"code": error.code, "message": error.message}}


def _show_faces(console: Console, seen: Seen) -> None:
    height, width = seen.pixels.shape[:2]
    count = len(seen.found.scores)
    console.print(Text(f"{printable(str(seen.path))}  {width} x {height}, faces: {count}"), soft_wrap=True)
    if not count:
        return
    table = Table()
    table.add_column("score", justify="right")
    table.add_column("box", justify="right")
    for box, score in zip(seen.found.boxes.tolist(), seen.found.scores.tolist(), strict=True):
        table.add_row(f"{score:.3f}", "{:.0f},{:.0f} {:.0f},{:.0f}".format(*box))
    console.print(table)


def _show_nearest(console: Console, embedded: Embedded) -> None:
    table = Table()
    table.add_column("picture", overflow="fold")
    table.add_column("most similar", overflow="fold")
    table.add_column("similarity", justify="right")
    for path, near in zip(embedded.paths, embedded.nearest, strict=True):
        other = (str(embedded.paths[near[0]]), f"{near[1]:.3f}") if near else ("", "")
        table.add_row(Text(printable(str(path))), Text(printable(other[0])), other[1])
    console.print(table)
