"""The commands `toonface gallery build` and `add`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from rich.table import Table
from rich.text import Text

from toonface_client.cli.gallery_list import ListedPicture, read_gallery_list
from toonface_client.cli.gallery_output import prefix
from toonface_client.cli.options import (
    concurrency_option,
    counted,
    dry_run_option,
    json_option,
    printable,
    progress,
    tables,
    with_admin_client,
    write_error,
    write_json,
)
from toonface_client.cli.pictures import find_pictures
from toonface_client.client import ToonfaceClient
from toonface_client.enrolment import EnrolReport, LabelledPicture
from toonface_client.quality import DEFAULT_GATE, QualityGate
from toonface_contract.admin import IndexSettings
from toonface_contract.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

crop_option = click.option(
    "--crop",
    type=click.Choice(["whole", "faces"]),
    default="whole",
    show_default=True,
    help="The picture is the face, as PaddleX takes it; or find the one face in it.",
)


class _Bound(click.ParamType[float | None]):
    """A number, or `off`."""

    name = "NUMBER|off"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value == "off":
            return None
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'off'", param, ctx)


def _bound(name: str, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}",
        type=_Bound(),
        default=str(getattr(DEFAULT_GATE, name.replace("-", "_"))),
        show_default=True,
        help=text,
    )


_GATE = (
    _bound("min-side", "Pixels of the shorter side of a face."),
    _bound("min-sharpness", "Variance of the Laplacian of a face; less is blurred."),
    _bound("min-detection-score", "How sure the detector must be of a face, with --crop faces."),
    _bound("max-similarity", "Similarity to a face of another label, from which on the two are taken for one."),
    click.option("--no-gate", is_flag=True, help="Enrol every picture that shows a face."),
)


def with_gate(command: F) -> F:
    """Adds the options of the quality gate to a command, and gives it a `gate`."""

    @functools.wraps(command)
    def wrapper(*, no_gate: bool, **arguments: Any) -> Any:
        bounds = {
            name: arguments.pop(name) for name in ("min_side", "min_sharpness", "min_detection_score", "max_similarity")
        }
        return command(gate=None if no_gate else QualityGate(**bounds), **arguments)

    decorated = cast(F, wrapper)
    for option in reversed(_GATE):
        decorated = option(decorated)
    return decorated


_report_option = click.option("--report", is_flag=True, help="Show a table of all pictures and their quality.")


@click.command()
@click.argument("name")
@click.argument("list_file", metavar="LIST.txt", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@crop_option
@with_gate
@click.option("--replace", is_flag=True, help="Let an existing gallery of this name give way.")
@click.option(
    "--index", "index_type", help="Flat, IVF, HNSW32 or a FAISS factory string.  [default: the server's choice]"
)
@click.option("--metric", type=click.Choice(["IP", "L2"]), help="How the index measures.  [default: IP]")
@dry_run_option
@_report_option
@json_option
@concurrency_option
@with_admin_client
def build(
    client: ToonfaceClient, name: str, list_file: Path, index_type: str | None, metric: str | None, **options: Any
) -> None:
    """Make the gallery NAME from a list of pictures.

    LIST.txt is PaddleX's: a line for each picture, `path label`, with paths relative to the list. A bad picture fails
    alone, and the command then ends with 1. A picture that is too small, blurred, or too similar to one of another
    label is bad, too; each bound takes a number, or `off`.

    \b
    Examples:
      toonface gallery build friends friends/gallery.txt
      toonface gallery build friends friends/gallery.txt --dry-run --report
      toonface gallery build friends friends/gallery.txt --crop faces --max-similarity off
    """
    # Without either, one that exists is searched as before.
    index = index_settings(index_type, metric or "IP") if index_type or metric else None
    _enrol(client, name, read_gallery_list(list_file), build=True, index=index, **options)


@click.command()
@click.argument("name")
@click.argument(
    "sources", metavar="LIST.txt|IMAGE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--label", help="Whose face the pictures show; without it, one LIST.txt says so.")
@crop_option
@with_gate
@dry_run_option
@_report_option
@json_option
@concurrency_option
@with_admin_client
def add(client: ToonfaceClient, name: str, sources: tuple[Path, ...], label: str | None, **options: Any) -> None:
    """Enrol more faces into the gallery NAME.

    Pictures must pass the same bounds as for `build`, and are compared with those enrolled already.

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
    _enrol(client, name, pictures, **options)


def index_settings(index_type: str | None, metric: str) -> IndexSettings:
    """The settings of an index.

    Raises:
        ConfigError: the type is not written as FAISS writes it.
    """
    try:
        return IndexSettings.model_validate({"type": index_type, "metric": metric})
    except ValueError:
        raise ConfigError(
            f"--index is {index_type!r}; it must be Flat, IVF, HNSW32 or a FAISS factory string such as "
            "IVF1024,SQ8;nprobe=32"
        ) from None


def _enrol(
    client: ToonfaceClient,
    name: str,
    pictures: list[ListedPicture],
    *,
    as_json: bool,
    report: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    with progress() as bar:
        result = client.enrol(
            name,
            (LabelledPicture(each.path, each.label, each.source) for each in bar.track(pictures)),
            dry_run=dry_run,
            **options,
        )
    for listed, picture in zip(pictures, result.pictures, strict=True):
        if picture.error is not None:
            write_error(picture.error, listed.place)
    if as_json:
        write_json({"gallery": name, **result.as_dict()})
    else:
        if report:
            tables().print(_table(result))
        total = counted(len(result.pictures), "picture")
        click.echo(f"{prefix(dry_run)}enrolled {result.enrolled} of {total} into gallery {name!r}")
    if result.failed:
        click.get_current_context().exit(1)


def _table(result: EnrolReport) -> Table:
    table = Table("picture", "label", "id", "side", "sharpness", "detection", "quality", "refused")
    for picture in result.pictures:
        seen = picture.measures
        table.add_row(
            Text(printable(picture.source)),
            Text(printable(picture.label)),
            "" if picture.face_id is None else str(picture.face_id),
            "" if seen is None else f"{seen.side:.0f}",
            "" if seen is None else f"{seen.sharpness:.0f}",
            "" if seen is None or seen.detection_score is None else f"{seen.detection_score:.2f}",
            "" if seen is None else f"{seen.quality:.2f}",
            "" if picture.error is None else picture.error.code,
        )
    return table
