"""The command `toonface evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.table import Table

from toonface_client.cli.options import json_option, progress, tables, write_json
from toonface_training.evaluation.changes_cli import changes
from toonface_training.evaluation.demo_figures import Sample
from toonface_training.evaluation.demo_forms import FORMS, all_forms
from toonface_training.evaluation.feature import FARS
from toonface_training.evaluation.runs import Run, prepare, run_detection, run_feature, run_recognition
from toonface_training.evaluation.subject_options import with_subject
from toonface_training.evaluation.subjects.opening import Subject
from toonface_training.evaluation.tracking import Item, Track

_SHARE = click.FloatRange(0, 1)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_det_threshold = click.option(
    "--det-threshold",
    type=_SHARE,
    help="A face counts above this score.  [default: as deployed, else 0.6]",
)
_rec_threshold = click.option(
    "--rec-threshold",
    type=_SHARE,
    help="A name counts from this on.  [default: as deployed, else 0.4]",
)
_split = click.option(
    "--split", default="val", show_default=True, help="Which annotations/instance_<split>.json to look at."
)
_output = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for evaluate_result.json and report/index.html.  [default: write nothing]",
)


@click.group()
def evaluate() -> None:
    """Measure how good a model is: in Paddle, exported, or as it is served.

    \b
    SUBJECT is one of
      a Paddle inference folder, or what training wrote:  models/MobileFaceNet, output/best_model
      parameters, with --model:                           output/best_model/best_model.pdparams
      a pipeline file, for a detector and an embedder:    models/face_recognition.yaml
      a repository that `toonface export` wrote:          build/repository
      an embedder's ONNX file:                            build/repository/face_embedding/1/model.onnx
      a live server:                                      127.0.0.1:8001
      a floor to stand above, as an embedder:             random-network, colour-histogram

    All see the same pictures, prepared as they are served, so that one figure can be followed from training to serving.
    Each figure comes with the counts that it rests on, and with the interval that they leave it at 95 %.
    """


@evaluate.command()
@with_subject
@click.argument("dataset", type=_FOLDER)
@_split
@_det_threshold
@_output
@json_option
def detection(
    subject: Subject, dataset: Path, split: str, det_threshold: float | None, output: Path | None, as_json: bool
) -> None:
    """Are the faces found? COCO's average precision; precision and recall as deployed.

    DATASET is a detection set in PaddleX's COCO layout: annotations/instance_val.json and images/.

    \b
    Examples:
      toonface evaluate detection output/best_model cartoon/detection --output report/
      toonface evaluate detection 127.0.0.1:8001 cartoon/detection --split unseen
    """
    if output:
        prepare(output)
    with _tracked() as track:
        run = run_detection(subject, dataset, split=split, det_threshold=det_threshold, track=track)
    _hand_over(run, output, as_json)


@evaluate.command()
@with_subject
@click.argument("dataset", type=_FOLDER)
@click.option("--pairs", type=_FILE, help="List of pairs.  [default: val/pair_label.txt of DATASET]")
@click.option("--gallery", type=_FILE, help="List of gallery pictures.  [default: gallery.txt of DATASET]")
@click.option("--probes", type=_FILE, help="List of pictures to look up.  [default: probe.txt of DATASET]")
@click.option(
    "--shots",
    type=click.IntRange(1),
    multiple=True,
    help="Gallery pictures of each character; repeatable.  [default: all]",
)
@click.option(
    "--far",
    "fars",
    type=click.FloatRange(0, 1),
    multiple=True,
    default=FARS,
    show_default=True,
    help="False-accept rate to find a threshold for; repeatable.",
)
@click.option(
    "--flip-test", is_flag=True, help="Give the pair accuracy with mirrored pictures added too, as PaddleX does."
)
@_rec_threshold
@_output
@json_option
def feature(
    subject: Subject,
    dataset: Path,
    pairs: Path | None,
    gallery: Path | None,
    probes: Path | None,
    shots: tuple[int, ...],
    fars: tuple[float, ...],
    flip_test: bool,
    rec_threshold: float | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Are characters told apart? Pairs as in PaddleX; ranks, strangers and thresholds on a gallery.

    DATASET has val/pair_label.txt (lines of `left right 1`, or 0), or gallery.txt and probe.txt (lines of `path label`;
    who is not in the gallery is a stranger), or all of them. Where labels are a style and a number, as in `micah-17`,
    there are figures against impostors of the same style too.

    \b
    Examples:
      toonface evaluate feature output/best_model cartoon/feature --output report/
      toonface evaluate feature build/repository cartoon/gallery/seen
      toonface evaluate feature colour-histogram cartoon/gallery/seen --probes cartoon/gallery/seen/probe_turned.txt
    """
    if output:
        prepare(output)
    with _tracked() as track:
        run = run_feature(
            subject,
            dataset,
            pairs=pairs,
            gallery=gallery,
            probes=probes,
            rec_threshold=rec_threshold,
            shots=shots,
            fars=fars,
            flip_test=flip_test,
            track=track,
        )
    _hand_over(run, output, as_json)


@evaluate.command()
@with_subject
@click.argument("dataset", type=_FOLDER)
@click.option("--gallery", type=_FILE, required=True, help="List of gallery pictures, `path label` a line.")
@click.option("--shots", type=click.IntRange(1), help="Take so many gallery pictures of each.  [default: all]")
@_split
@_det_threshold
@_rec_threshold
@_output
@json_option
def recognition(
    subject: Subject,
    dataset: Path,
    gallery: Path,
    shots: int | None,
    split: str,
    det_threshold: float | None,
    rec_threshold: float | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Does every face get its name? From scenes, through detected boxes, to the nearest gallery picture.

    SUBJECT must have a detector and an embedder. DATASET is a detection set whose annotations have a `character`, the
    label that the gallery's list gives; all others are strangers.

    \b
    Examples:
      toonface evaluate recognition build/repository cartoon/detection --split test \\
          --gallery cartoon/gallery/seen/gallery.txt
      toonface evaluate recognition build/repository cartoon/gallery/seen/pictures --split probe \\
          --gallery cartoon/gallery/seen/gallery.txt
    """
    if output:
        prepare(output)
    with _tracked() as track:
        run = run_recognition(
            subject,
            dataset,
            gallery,
            split=split,
            det_threshold=det_threshold,
            rec_threshold=rec_threshold,
            shots=shots,
            track=track,
        )
    _hand_over(run, output, as_json)


@evaluate.command("demo-models")
@click.argument("dataset", type=_FOLDER)
@click.option(
    "--pipeline", type=_FILE, default=Path("models/face_recognition.yaml"), show_default=True, help="The two models."
)
@click.option(
    "--form",
    "forms",
    type=click.Choice(FORMS),
    multiple=True,
    default=FORMS,
    help="Which forms of the models to look at; repeatable.  [default: all]",
)
@click.option("--every", type=click.IntRange(1), default=1, help="Only every so-many-th scene, pair and probe.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/evaluation"),
    show_default=True,
    help="Folder for figures.json and figures.md, the exported repository and the server's log.",
)
@json_option
def demo_models(dataset: Path, pipeline: Path, forms: tuple[str, ...], every: int, output: Path, as_json: bool) -> None:
    """Make the whole table of figures for a pair of models, in each form that they take on the way to being served.

    DATASET is what `toonface dataset cartoon` wrote. The models are exported and served for it. Beside them stand a
    random network and a colour histogram. Forms that an earlier run measured stay in the table; figures of other models
    or another sample are kept as earlier_figures.json and .md.

    \b
    Example:
      toonface dataset cartoon build/cartoon --part detection --part gallery --scenes 1 --validation-scenes 1
      toonface evaluate demo-models build/cartoon
    """
    with _tracked() as track:
        document, markdown = all_forms(pipeline, Sample(dataset, every), forms, output, track)
    if as_json:
        write_json(document)
    else:
        click.echo(markdown)


evaluate.add_command(changes)


@contextmanager
def _tracked() -> Iterator[Track]:
    """Progress bars on standard error, one for each piece of work."""
    with progress() as bar:

        def track(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
            return bar.track(items, total=total, description=what)

        yield track


def _hand_over(run: Run, output: Path | None, as_json: bool) -> None:
    """Shows the result, and writes it where it was asked for."""
    if as_json:
        write_json(run.document)
    else:
        _show(run)
    for path in run.save(output) if output else []:
        if not as_json:
            tables().print(f"wrote {path}", soft_wrap=True)


def _show(run: Run) -> None:
    console = tables()
    console.print(run.title, soft_wrap=True)
    for title, rows in run.tables.items():
        table = Table(title=title, title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_column("rests on", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
