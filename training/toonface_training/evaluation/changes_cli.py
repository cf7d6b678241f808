"""The command `toonface evaluate changes`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from toonface_client.cli.gallery_list import read_gallery_list
from toonface_client.cli.options import json_option, progress, tables, write_json
from toonface_client.connection import Tls
from toonface_training.evaluation.changes import Changes, Decisions, compare, decide
from toonface_training.evaluation.datasets import GallerySet, read_scenes
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.subject_options import with_server_options
from toonface_training.evaluation.subjects.opening import SubjectSettings, is_address, open_subject

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHARE = click.FloatRange(0, 1)


@click.command()
@click.argument("subject")
@click.argument("others", metavar="OTHER...", nargs=-1, required=True)
@click.option(
    "--scenes",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Detection set in PaddleX's COCO layout, whose faces are found and named.",
)
@click.option("--split", default="val", show_default=True, help="Which annotations/instance_<split>.json to look at.")
@click.option("--gallery", type=_FILE, required=True, help="List of gallery pictures, `path label` a line.")
@click.option("--probes", type=_FILE, required=True, help="List of pictures of single faces to name.")
@click.option("--det-threshold", type=_SHARE, help="A face counts above it.  [default: SUBJECT's]")
@click.option("--rec-threshold", type=_SHARE, help="A name counts from it on.  [default: SUBJECT's]")
@click.option("--every", type=click.IntRange(1), default=1, help="Only every so-many-th scene and probe.")
@with_server_options
@json_option
def changes(
    subject: str,
    others: tuple[str, ...],
    scenes: Path,
    split: str,
    gallery: Path,
    probes: Path,
    det_threshold: float | None,
    rec_threshold: float | None,
    every: int,
    tls: Tls | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """How many decisions change from one form of the models to another?

    SUBJECT and each OTHER are a detector and an embedder in some form: a pipeline file (which Paddle runs), a
    repository that `toonface export` wrote, or a live server. Each finds the faces of the same scenes and names them,
    and the probes, by its own embeddings of the same gallery; both go by the same thresholds. Every difference counts,
    however near to a threshold.

    \b
    Example:
      toonface export models/face_recognition.yaml --precision bf16 --output build/bf16
      toonface evaluate changes models/face_recognition.yaml build/bf16 \\
          --scenes cartoon/detection --split test \\
          --gallery cartoon/gallery/seen/gallery.txt --probes cartoon/gallery/seen/probe.txt
    """
    pictures = read_scenes(scenes, split)[::every]
    gallery_set = GallerySet(read_gallery_list(gallery), read_gallery_list(probes)[::every])
    reaching, places = SubjectSettings(tls=tls, token_file=token_file), (subject, *others)
    if not any(map(is_address, places)):
        reaching.must_suit("forms none of which is a live server")
    opened = [open_subject(place, reaching if is_address(place) else SubjectSettings()) for place in places]
    for each in opened:
        each.must_embed()
        each.must_recognise()
    first = opened[0]
    thresholds = {
        "det_threshold": first.det_threshold if det_threshold is None else det_threshold,
        "rec_threshold": first.rec_threshold if rec_threshold is None else rec_threshold,
    }
    with progress() as bar:
        decided = [
            decide(
                each,
                pictures,
                gallery_set,
                **thresholds,
                track=lambda items, total, what: bar.track(items, total=total, description=what),
            )
            for each in opened
        ]
    found = [compare(decided[0], each) for each in decided[1:]]
    if as_json:
        write_json(
            {
                "subject": first.name,
                "place": subject,
                "right": decided[0].right.as_dict(),
                "others": [{**each.as_dict(), "place": place} for place, each in zip(others, found, strict=True)],
                **thresholds,
                "scenes": str(scenes),
                "split": split,
                "gallery": str(gallery),
                "probes": str(probes),
                "every": every,
            }
        )
    else:
        _show(decided[0], found, others)


def _show(first: Decisions, found: list[Changes], others: tuple[str, ...]) -> None:
    table = Table(
        "form",
        "faces found by one alone",
        "faces named otherwise",
        "probes named otherwise",
        "probes named rightly",
        title=f"Changed decisions, beside {first.subject}",
        title_justify="left",
    )
    table.add_row(first.subject, "", "", "", _counts(first.right))
    for place, each in zip(others, found, strict=True):
        rates = (each.faces, each.names, each.probes, each.right)
        table.add_row(f"{each.subject} ({place})", *map(_counts, rates))
    tables().print(table)


def _counts(rate: Rate) -> str:
    return f"{rate.hits:,} of {rate.of:,}"
