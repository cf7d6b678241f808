"""The command `toonface dataset`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from toonface_contract.errors import ConfigError
from toonface_training.cartoon.styles import EXTRA_STYLES
from toonface_training.dataset.check import RESULT, Kind, check_dataset
from toonface_training.dataset.convert import SOURCES, SourceType, convert_dataset
from toonface_training.dataset.generate import generate
from toonface_training.dataset.plan import PARTS
from toonface_training.dataset.problems import INVALID_DATASET, named
from toonface_training.dataset.settings import UNSEEN_STYLES, CartoonSettings
from toonface_training.dataset.split import split_dataset

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SIZES: dict[str, Any] = CartoonSettings.model_json_schema()["properties"]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _size(name: str, text: str) -> Callable[[_Function], _Function]:
    size = _SIZES[name]
    limits = click.IntRange(size["minimum"], size["maximum"])
    return click.option(_option(name), type=limits, default=size["default"], show_default=True, help=text)


_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def dataset() -> None:
    """Make, check, convert and split data sets, in the layouts of PaddleX.

    \b
      toonface dataset cartoon build/cartoon --seed 1
      toonface dataset check build/cartoon/detection
      toonface dataset check build/cartoon/feature
      toonface dataset convert my_faces --from LabelMe
      toonface dataset split my_faces --train 80 --val 20
    """


def _by_style(texts: Sequence[str]) -> dict[str, int]:
    """Counts by style, of `STYLE=COUNT` each.

    Raises:
        ConfigError: a text is something else, or names a style that another has named.
    """
    counts: dict[str, int] = {}
    for text in texts:
        style, _, count = text.partition("=")
        if not count.isdecimal():
            raise ConfigError(f"--more-identities: {text} is no STYLE=COUNT, such as notionists=500")
        if style in counts:
            raise ConfigError(f"--more-identities: {style} is named twice")
        counts[style] = int(count)
    return counts


def _told(error: ErrorDetails) -> str:
    """The option, with the style where there is one, and what is wrong with it."""
    option, *within = map(str, error["loc"])
    return f"{' '.join([_option(option), *within])}: {error['msg']}"


@dataset.command()
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@_size("seed", "Another seed, other characters and other pictures.")
@_size("identities", "Characters to train on, over all seen styles.")
@_size("extra_identities", f"Characters of further styles ({', '.join(EXTRA_STYLES)}), in feature/train alone.")
@click.option(
    "--more-identities",
    "more",
    metavar="STYLE=COUNT",
    multiple=True,
    help="Characters of one style on top, in feature/train alone; repeatable.",
)
@_size("pictures", "Crops of each of them.")
@_size("drawings", "Drawings (expression, clothes) of each character; its pictures share them.")
@_size("validation_identities", "Other characters, for the pairs and scenes that training watches.")
@_size("unseen_validation_identities", "Likewise, of unseen styles.")
@_size("pairs", "Pairs of crops to watch, half of them of one character, none twice; as many of unseen styles.")
@_size("test_identities", "Other characters again, in the gallery.")
@_size("unseen_identities", "Characters of unseen styles, in a gallery of their own.")
@_size("strangers", "Characters who are in probes and scenes, but in no gallery; as many of unseen styles.")
@_size("probes", "Crops of each character to recognise, upright; and as many turned by up to 30 degrees.")
@_size("scenes", "Scenes to train the detector on.")
@_size("validation_scenes", "Scenes for training to watch.")
@_size("test_scenes", "Scenes of the gallery's characters; and as many of unseen styles.")
@click.option(
    "--unseen-styles",
    default=",".join(UNSEEN_STYLES),
    show_default=True,
    help="Styles that nothing is trained on, with commas between them.",
)
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only this part; repeatable.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="one for each core",
    help="How many work at a time. The files are the same for any number.",
)
@_JSON
def cartoon(
    output: Path,
    parts: tuple[str, ...],
    unseen_styles: str,
    more: tuple[str, ...],
    processes: int,
    as_json: bool,
    **sizes: int,
) -> None:
    """Draw a data set of cartoon characters into the new folder OUTPUT.

    A character is fixed by its style, hair, skin, shape of face, colours and what it wears on its head; its pictures
    differ in expression, clothes, pose, size, turn, light, blur, background, what is in front of it, and JPEG quality.
    No character is in two splits; three styles are in none that is trained on. The same options give the same files.
    A run that was stopped goes on when it is repeated.

    \b
    OUTPUT/detection   COCO: annotations/instance_{train,val,test,unseen}.json, images/
    OUTPUT/feature     train/label.txt, val/pair_label.txt
    OUTPUT/gallery     seen/ and unseen/: gallery.txt, probe.txt, probe_turned.txt; pictures/ (COCO)
    OUTPUT/CREDITS.md  who drew the styles, under which licence
    """
    try:
        settings = CartoonSettings(
            unseen_styles=tuple(unseen_styles.split(",")), more_identities=_by_style(more), **sizes
        )
    except ValidationError as error:
        raise ConfigError("; ".join(map(_told, error.errors())).replace("Value error, ", "")) from error
    began = time.monotonic()
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("drawing", total=None)
        generate(
            output,
            settings,
            parts or tuple(PARTS),
            processes,
            start=lambda jobs: bar.update(task, total=jobs),
            done=lambda: bar.advance(task),
        )
    seconds = round(time.monotonic() - began)
    if as_json:
        click.echo(json.dumps({"output": str(output), "seconds": seconds}, ensure_ascii=False))
    else:
        click.echo(f"drew {output} in {seconds} s")


_DATASET_DIR = click.argument("dataset_dir", type=click.Path(path_type=Path, file_okay=False))
_KIND = click.option(
    "--kind", type=click.Choice(["detection", "feature"]), help="Of the data set. Usually the folder's content says it."
)


@dataset.command()
@_DATASET_DIR
@_KIND
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default="output",
    show_default=True,
    help="Where the verdict and the sample pictures go.",
)
@_JSON
def check(dataset_dir: Path, kind: Kind | None, output: Path, as_json: bool) -> None:
    """Say whether DATASET_DIR can be trained on; if not, what is wrong, by file and line.

    Writes OUTPUT/check_dataset_result.json and OUTPUT/check_dataset/ as PaddleX's check_dataset does. Exit code 1 if
    something is wrong.

    \b
    Detection: annotations/instance_train.json, annotations/instance_val.json (COCO), images/
    Feature:   train/label.txt (`path id` a line), val/pair_label.txt (`left right 0|1` a line)
    """
    verdict = check_dataset(dataset_dir, output, kind)
    if verdict.warnings:
        click.echo(f"warning: {named(verdict.warnings, chr(10) + 'warning: ')}", err=True)
    if as_json:
        click.echo(json.dumps(verdict.result, ensure_ascii=False, indent=2))
    elif verdict.problems:
        click.echo(named(verdict.problems), err=True)
    else:
        attributes = verdict.result["attributes"]
        counts = ", ".join(f"{name} {value}" for name, value in attributes.items() if isinstance(value, int))
        click.echo(f"Check dataset passed: a {verdict.kind} set with {counts}; see {output / RESULT}")
    if verdict.problems:
        raise ConfigError(
            f"{dataset_dir} has {len(verdict.problems)} problem(s); all are in {output / RESULT}", code=INVALID_DATASET
        )


@dataset.command()
@_DATASET_DIR
@click.option("--from", "source", type=click.Choice(list(SOURCES)), required=True, help="The tool that annotated it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the lot, where there is no validation list.")
@_JSON
def convert(dataset_dir: Path, source: SourceType, seed: int, as_json: bool) -> None:
    """Turn annotations of LabelMe or VOC into COCO, in DATASET_DIR itself.

    \b
    DATASET_DIR/images/               the pictures
    DATASET_DIR/train_anno_list.txt   lines that end with the path of an annotation file
    DATASET_DIR/val_anno_list.txt     likewise; if it is not there, a fifth of the other becomes it

    Files that are replaced are kept as .bak. LabelMe's shapes must be rectangles.
    """
    counts = convert_dataset(dataset_dir, source, seed=seed)
    if as_json:
        click.echo(json.dumps(counts))
    else:
        click.echo(f"converted: {counts['train']} images to train on, {counts['val']} to validate with")


@dataset.command()
@_DATASET_DIR
@_KIND
@click.option("--train", type=int, required=True, help="Percent to train on.")
@click.option("--val", type=int, required=True, help="Percent to validate with; the two sum to 100.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the lot.")
@_JSON
def split(dataset_dir: Path, kind: Kind | None, train: int, val: int, seed: int, as_json: bool) -> None:
    """Divide DATASET_DIR anew by lot; the old annotation files are kept as .bak.

    A detection set is divided by images. A feature set is divided by identities: those to train on are numbered anew in
    train/label.txt, and pairs of the others become val/pair_label.txt. No picture is moved.
    """
    done = split_dataset(dataset_dir, train, val, kind=kind, seed=seed)
    if as_json:
        result = {"train": done.train, "val": done.val, "kept": [str(path) for path in done.kept]}
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        kept = ", ".join(path.name for path in done.kept)
        click.echo(f"split: {done.train} to train on, {done.val} to validate with; kept {kept}")
