"""The commands `toonface gallery remove`, `update`, `configure`, `rename` and `drop`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from toonface_client.cli.gallery_enrol import crop_option, index_settings, with_gate
from toonface_client.cli.gallery_list import read_corrections, read_ids, read_labels
from toonface_client.cli.gallery_output import report_change
from toonface_client.cli.options import dry_run_option, json_option, with_admin_client
from toonface_client.client import ToonfaceClient
from toonface_client.enrolment import NEAREST, candidate, enrolled_duplicate
from toonface_client.images import encoded
from toonface_client.quality import QualityGate
from toonface_client.results import Match
from toonface_contract.admin import FaceUpdate
from toonface_contract.errors import ConfigError
from toonface_contract.options import Crop

_LIST = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("name")
@click.option("--id", "ids", type=int, multiple=True, help="Id of a face, as `list` shows it; may be repeated.")
@click.option("--label", "labels", multiple=True, help="Remove all faces with this label; may be repeated.")
@click.option("--ids-file", type=_LIST, help="File with an id a line, as PaddleX's remove_ids.txt.")
@click.option("--labels-file", type=_LIST, help="File with a label a line.")
@dry_run_option
@json_option
@with_admin_client
def remove(
    client: ToonfaceClient,
    name: str,
    ids: tuple[int, ...],
    labels: tuple[str, ...],
    ids_file: Path | None,
    labels_file: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove faces from the gallery NAME, all or none.

    \b
    Examples:
      toonface gallery remove friends --id 17 --id 18
      toonface gallery remove friends --label Gunther --dry-run
      toonface gallery remove friends --ids-file remove_ids.txt
    """
    all_ids = [*ids, *(read_ids(ids_file) if ids_file else ())]
    all_labels = [*labels, *(read_labels(labels_file) if labels_file else ())]
    if not all_ids and not all_labels:
        raise click.UsageError("give --id, --label, --ids-file or --labels-file")
    change = client.remove_faces(name, ids=all_ids, labels=all_labels, dry_run=dry_run)
    report_change(change, "removed", name, as_json=as_json, dry_run=dry_run)


@click.command()
@click.argument("name")
@click.option("--id", "ids", type=int, multiple=True, help="Id of a face to correct; may be repeated.")
@click.option("--label", "old_label", help="Correct all faces with this label.")
@click.option("--list", "list_file", type=_LIST, help="File with lines of `id label`, each face's new label.")
@click.option("--set-label", help="The faces' new label.")
@click.option("--set-source", help="The faces' new source.")
@click.option("--picture", type=_LIST, help="A picture to embed in the place of the one face's.")
@crop_option
@with_gate
@dry_run_option
@json_option
@with_admin_client
def update(
    client: ToonfaceClient,
    name: str,
    ids: tuple[int, ...],
    old_label: str | None,
    list_file: Path | None,
    set_label: str | None,
    set_source: str | None,
    picture: Path | None,
    crop: Crop,
    gate: QualityGate | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Correct faces of the gallery NAME, all or none.

    A new picture must pass the same bounds as for `build`, and is compared with the other faces of the gallery.

    \b
    Examples:
      toonface gallery update friends --id 17 --set-label Joey
      toonface gallery update friends --label Jo --set-label Joey
      toonface gallery update friends --list corrections.txt
      toonface gallery update friends --id 17 --picture better.jpg
    """
    if sum((bool(ids), old_label is not None, list_file is not None)) != 1:
        raise click.UsageError("say which faces: by --id, by --label, or by --list")
    if list_file is None and set_label is None and set_source is None and picture is None:
        raise click.UsageError("say what to correct: --set-label, --set-source or --picture")
    if list_file is not None and (set_label, set_source, picture) != (None, None, None):
        raise click.UsageError("--list has the new labels, and goes with no other correction")
    if picture is not None and len(ids) != 1:
        raise click.UsageError("--picture takes the place of one face's; give one --id")
    if old_label is not None:
        change = client.update_label(name, old_label, set_label=set_label, set_source=set_source, dry_run=dry_run)
        report_change(change, "updated", name, as_json=as_json, dry_run=dry_run)
        return
    embedding = quality = None
    if picture is not None:
        data = encoded(picture)
        seen = candidate(data, client.features(data, crop=crop), crop, gate)
        embedding, quality = seen.embedding, seen.measures.quality
        set_source = str(picture) if set_source is None else set_source
    if list_file is not None:
        changes = [_change(face, label) for face, label in read_corrections(list_file)]
    else:
        changes = [_change(face, set_label, set_source, quality) for face in ids]
    if embedding is not None:
        _check_near_duplicate(client, name, changes[0], embedding, None if gate is None else gate.max_similarity)
    change = client.update_faces(name, changes, None if embedding is None else [embedding], dry_run=dry_run)
    report_change(change, "updated", name, as_json=as_json, dry_run=dry_run)


@click.command()
@click.argument("name")
@click.option(
    "--index", "index_type", help="Flat, IVF, HNSW32 or a FAISS factory string.  [default: the server's choice]"
)
@click.option(
    "--metric", type=click.Choice(["IP", "L2"]), default="IP", show_default=True, help="How the index measures."
)
@dry_run_option
@json_option
@with_admin_client
def configure(
    client: ToonfaceClient, name: str, index_type: str | None, metric: str, dry_run: bool, as_json: bool
) -> None:
    """Let the gallery NAME be searched in another way.

    The new index is built beside the old one, and takes over when it is ready. Scores are cosine similarities with
    either metric.

    \b
    Examples:
      toonface gallery configure friends --index HNSW32
      toonface gallery configure crowd --index "IVF1024,SQ8;nprobe=32"
    """
    change = client.configure_gallery(name, index_settings(index_type, metric), dry_run=dry_run)
    report_change(change, "configured the index of gallery", name, as_json=as_json, dry_run=dry_run, counts=False)


@click.command()
@click.argument("name")
@click.argument("to", metavar="NEW_NAME")
@click.option("--replace", is_flag=True, help="Let an existing gallery of the new name give way.")
@dry_run_option
@json_option
@with_admin_client
def rename(client: ToonfaceClient, name: str, to: str, replace: bool, dry_run: bool, as_json: bool) -> None:
    """Give the gallery NAME the name NEW_NAME.

    With --replace it takes the place of the gallery that has the name, in one moment.

    \b
    Example:
      toonface gallery rename friends-2026 friends --replace
    """
    change = client.rename_gallery(name, to, replace=replace, dry_run=dry_run)
    report_change(change, f"gallery {to!r} is the former gallery", name, as_json=as_json, dry_run=dry_run, counts=False)


@click.command()
@click.argument("name")
@dry_run_option
@json_option
@with_admin_client
def drop(client: ToonfaceClient, name: str, dry_run: bool, as_json: bool) -> None:
    """Remove the gallery NAME with all its faces.

    \b
    Example:
      toonface gallery drop friends --dry-run
    """
    change = client.drop_gallery(name, dry_run=dry_run)
    report_change(change, "dropped gallery", name, as_json=as_json, dry_run=dry_run, counts=False)


def _change(face: int, label: str | None, source: str | None = None, quality: float | None = None) -> FaceUpdate:
    try:
        return FaceUpdate(id=face, label=label, source=source, quality=quality)
    except ValueError as error:
        raise ConfigError(f"the correction of face {face} is not allowed: {error}") from None


def _check_near_duplicate(
    client: ToonfaceClient, name: str, change: FaceUpdate, embedding: NDArray[np.float32], limit: float | None
) -> None:
    """Refuses a face's new embedding that is too similar to that of another label than the face is to have.

    Raises:
        InvalidImage: `near_duplicate`.
    """
    face = next(client.faces(name, ids=[change.id]), None)
    if face is None or limit is None:
        return  # a face that is not there the update itself refuses
    label = change.label or face.label
    nearest = client.search(name, [embedding], topk=NEAREST + 1, group="label")[0]
    others = [match for match in nearest if match.id != change.id]
    if label != face.label:
        # Of its old label the search tells the nearest face, which may be this very one.
        for page in client.face_pages(name, label=face.label, embeddings=True):
            scores = [] if page.embeddings is None else (page.embeddings @ embedding).tolist()
            others += [
                Match(each.id, each.label, score)
                for each, score in zip(page.faces, scores, strict=True)
                if each.id != change.id
            ]
        others.sort(key=lambda match: match.score, reverse=True)
    if error := enrolled_duplicate(others, label, limit):
        raise error
