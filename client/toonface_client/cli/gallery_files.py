"""The commands `toonface gallery import` and `export`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from pydantic import ValidationError
from rich.progress import Progress, TaskID

from toonface_client.cli.gallery_output import prefix
from toonface_client.cli.options import (
    counted,
    dry_run_option,
    json_option,
    needing,
    progress,
    with_admin_client,
    write_json,
)
from toonface_client.client import ToonfaceClient
from toonface_client.enrolment import must_build
from toonface_client.gallery_calls import FacePage
from toonface_client.staging import Staging, index_of
from toonface_contract.admin import Galleries, GalleryInfo, IndexSettings, NewFace
from toonface_contract.errors import AlreadyExists, ConfigError, InvalidRequest, NotFound, ToonfaceError

if TYPE_CHECKING:
    from toonface_gallery.interchange.portable import FacesFile, PortableFaces

_EXTRA = "gallery"


@click.command()
@click.argument("name")
@click.argument("path", metavar="FILE|FOLDER/")
@click.option("--force", is_flag=True, help="Overwrite what is there: a file, or an index that PaddleX saved.")
@json_option
@with_admin_client
def export(client: ToonfaceClient, name: str, path: str, force: bool, as_json: bool) -> None:
    """Write the faces of the gallery NAME, with their embeddings, to a .parquet or .npz file, or for PaddleX.

    A path without an ending, or with a slash at the end, is a folder: PaddleX's saved index (vector.index and
    id_map.yaml), which its key `index` may name. It holds labels and embeddings alone; the files hold all.

    Parquet is written in portions, the others as a whole. What is written appears when it is complete. Faces that are
    enrolled or removed meanwhile may or may not be in it, which is then said.

    \b
    Examples:
      toonface gallery export friends friends.parquet
      toonface gallery export friends friends.npz --force
      toonface gallery export friends paddlex_index/
    """
    with needing(_EXTRA):
        from toonface_gallery.interchange.formats import check_target, write_faces
        from toonface_gallery.interchange.portable import Origin

        check_target(path)
        if Path(path).exists() and not force:
            raise ConfigError(f"{path!r} exists already; overwrite it with --force")
        gallery = _the(client.gallery_list(), name)
        pages = _Pages(client, name)
        with progress() as bar:
            task = bar.add_task("export", total=gallery.faces)
            origin = Origin(gallery.dimension, name, gallery.embedder)
            written = write_faces(path, origin, pages.portions(bar, task))
    if as_json:
        write_json({"gallery": name, "file": path, "faces": written, "changed_meanwhile": pages.changed})
        return
    click.echo(f"exported {counted(written, 'face')} of gallery {name!r} to {path}")
    if pages.changed:
        click.echo("note: galleries were changed meanwhile; export again to be sure of all faces", err=True)


@click.command("import")
@click.argument("name")
@click.argument("path", metavar="FILE|FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option("--add", "adding", is_flag=True, help="Add to an existing gallery.")
@click.option("--replace", is_flag=True, help="Let an existing gallery of this name give way.")
@dry_run_option
@json_option
@with_admin_client
def import_(
    client: ToonfaceClient, name: str, path: Path, adding: bool, replace: bool, dry_run: bool, as_json: bool
) -> None:
    """Make the gallery NAME from ready embeddings.

    Takes what `export` writes (.parquet, .npz), PaddleX's saved index (a folder with vector.index and id_map.yaml), and
    a PaddleX pipeline file whose key `index` names such a folder. Embeddings must come from the server's embedder:
    a file that says otherwise is refused, and PaddleX's index does not say. The gallery is made aside and appears when
    it is complete; with --add, faces appear in portions.

    \b
    Examples:
      toonface gallery import friends friends.parquet
      toonface gallery import default face_recognition.yaml
      toonface gallery import friends paddlex_index/ --replace
    """
    if adding and replace:
        raise click.UsageError("--add and --replace exclude each other")
    with needing(_EXTRA):
        from toonface_gallery.interchange.formats import open_faces

        file = open_faces(path)
        found = client.gallery_list()
        must_build(found, name, build=not adding, replace=replace)
        if file.count and file.origin.dimension != found.dimension:
            raise InvalidRequest(
                f"the embeddings of {str(path)!r} have {file.origin.dimension} numbers, and those of the server's "
                f"embedder {found.dimension}: they are of another one. Enrol the pictures (toonface gallery build)",
                code="embedder_mismatch",
            )
        for remark in file.remarks:
            click.echo(f"note: {remark}", err=True)
        if not file.origin.embedder:
            click.echo(
                f"note: {path} does not say which embedder made its embeddings; they must be of the server's, "
                f"{found.embedder[:19]}",
                err=True,
            )
        if dry_run:
            imported = _rehearse(client, name, file)
        elif adding:
            imported = _add(client, name, file)
        else:
            imported = _import(client, name, file, index_of(found, name), replace=replace)
    if as_json:
        write_json(
            {"gallery": name, "dry_run": dry_run, "imported": imported, "embedder": file.origin.embedder or None}
        )
    else:
        click.echo(f"{prefix(dry_run)}imported {counted(imported, 'face')} into gallery {name!r}")


class _Pages:
    """The pages of a gallery on their way to a file."""

    def __init__(self, client: ToonfaceClient, name: str) -> None:
        self._client = client
        self._name = name
        self._sequences: set[int] = set()

    @property
    def changed(self) -> bool:
        """Whether something was changed between two pages."""
        return len(self._sequences) > 1

    def portions(self, bar: Progress, task: TaskID) -> Iterator[PortableFaces]:
        for page in self._client.face_pages(self._name, embeddings=True):
            self._sequences.add(page.sequence)
            yield portable(page)
            bar.advance(task, len(page.faces))


def portable(page: FacePage) -> PortableFaces:
    """A page of faces with embeddings as the files' and the calibration's faces."""
    from toonface_gallery.interchange.portable import PortableFaces

    embeddings = np.empty((0, 0), np.float32) if page.embeddings is None else page.embeddings
    return PortableFaces(
        labels=[face.label for face in page.faces],
        sources=[face.source for face in page.faces],
        embeddings=embeddings,
        ids=np.array([face.id for face in page.faces], np.int64),
        qualities=np.array([np.nan if face.quality is None else face.quality for face in page.faces], np.float32),
        created=np.array([face.created.replace(tzinfo=None) for face in page.faces], "datetime64[us]"),
    )


def _rehearse(client: ToonfaceClient, name: str, file: FacesFile) -> int:
    """Lets the server check the faces, and returns how many there are."""

    def check(faces: PortableFaces, before: int) -> None:
        # As a gallery of its own: nothing in it depends on what is there already.
        embedder = file.origin.embedder or None
        client.build_gallery(name, _new(faces, before), faces.embeddings, replace=True, embedder=embedder, dry_run=True)

    return _each_portion(file, check)


def _add(client: ToonfaceClient, name: str, file: FacesFile) -> int:
    """Adds the faces in portions, and returns how many."""

    def add(faces: PortableFaces, before: int) -> None:
        try:
            client.add_faces(name, _new(faces, before), faces.embeddings, embedder=file.origin.embedder or None)
        except ToonfaceError as error:
            added = f"{error.message}; {counted(before, 'face')} had been added before"
            raise type(error)(added, code=error.code) from error

    return _each_portion(file, add)


def _import(client: ToonfaceClient, name: str, file: FacesFile, index: IndexSettings | None, *, replace: bool) -> int:
    """Makes the gallery aside, and returns how many faces it has. One that holds faces gives way if `replace` says so.

    Raises:
        AlreadyExists: it holds faces by now, and may not be replaced.
        Conflict: somebody filled or dropped it in the last moment.
    """
    with Staging(client, name, index) as staging:
        sent = _each_portion(
            file,
            lambda faces, before: staging.add(_new(faces, before), faces.embeddings, file.origin.embedder or None),
        )
        try:
            staging.switch(replace=replace)
        except AlreadyExists:
            # An empty one, such as a new server's default gallery, may give way, as long as it is empty.
            seen = client.stats(name)
            if seen.gallery.faces:
                raise AlreadyExists(
                    f"gallery {name!r} was filled meanwhile (faces: {seen.gallery.faces}); it was left as it is, and "
                    "nothing was imported",
                    code="gallery_exists",
                ) from None
            staging.switch(replace=True, unchanged_since=seen.sequence)
    return sent


def _each_portion(file: FacesFile, send: Callable[[PortableFaces, int], object]) -> int:
    """Calls `send` with each portion and the number of faces before it, and returns that of all."""
    sent = 0
    with progress() as bar:
        task = bar.add_task("import", total=file.count)
        for faces in file.portions():
            send(faces, sent)
            sent += len(faces)
            bar.advance(task, len(faces))
    return sent


def _new(faces: PortableFaces, before: int) -> list[NewFace]:
    """The faces as the server takes them.

    Raises:
        ConfigError: a label or a source is not allowed.
    """
    new: list[NewFace] = []
    columns: Any = zip(faces.labels, faces.sources, faces.qualities.tolist(), strict=True)
    for row, (label, source, quality) in enumerate(columns):
        try:
            new.append(NewFace(label=label, source=source, quality=None if np.isnan(quality) else quality))
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(
                f"face {before + row} (from 0): {first['loc'][0]} is {first['input']!r}: {first['msg']}"
            ) from None
    return new


def _the(found: Galleries, name: str) -> GalleryInfo:
    gallery = next((each for each in found.galleries if each.name == name), None)
    if gallery is None:
        there = ", ".join(each.name for each in found.galleries) or "none"
        raise NotFound(f"there is no gallery {name!r} (there are: {there})", code="gallery_not_found")
    return gallery
