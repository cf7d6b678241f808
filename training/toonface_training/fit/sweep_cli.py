"""The command `toonface sweep`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table

from toonface_client.cli.options import json_option, tables, write_json
from toonface_training.fit.launch import launch
from toonface_training.fit.overrides import overridden
from toonface_training.fit.sweep import Experiment, parse_variable
from toonface_training.fit.sweep import sweep as run_sweep

# Column titles as in PaddleX's tutorial.
_TITLES = {
    "epochs_iters": "Epochs",
    "learning_rate": "Learning rate",
    "batch_size": "Batch size",
    "arcmargin_m": "Margin",
}
_FIGURES = {"AP50": "mAP@0.5", "AP": "mAP@[.5:.95]", "acc": "Acc"}


@click.command()
@click.argument("config")
@click.option(
    "--vary",
    "variables",
    multiple=True,
    required=True,
    metavar="KEY.SUB=VALUE,VALUE",
    help="A key and the values to try; repeatable. The best value holds for the keys that follow.",
)
@overridden
@json_option
def sweep(config: str, variables: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Train with one setting changed at a time, and say which value is best.

    CONFIG is as for `toonface train`. Global.output is the folder of the sweep: each training has one in it, and
    sweep_result.json the table. The same command goes on with a sweep that was interrupted, and repeats nothing.
    Without Train.pretrain_weight_path, which PaddleX's own files set, each training starts from random parameters.

    \b
    Examples:
      toonface sweep PP-YOLOE_plus-S_face -o Global.dataset_dir=dataset/faces -o Global.output=sweep \\
          -o Train.pretrain_weight_path=PP-YOLOE_plus-S_face_pretrained -o Train.epochs_iters=10 \\
          --vary Train.learning_rate=0.001,0.0001 --vary Train.epochs_iters=10,20
      toonface sweep ResNet50_face -o Global.dataset_dir=dataset/characters -o Global.output=sweep \\
          -o Train.pretrain_weight_path=ResNet50_face_pretrained --vary Train.arcmargin_m=0.5,0.3
    """
    experiments = run_sweep(config, overrides, [parse_variable(text) for text in variables], launch)
    if as_json:
        write_json({"experiments": [each.as_dict() for each in experiments]})
    else:
        tables().print(_table(experiments))


def _table(experiments: Sequence[Experiment]) -> Table:
    rows = [experiment.as_dict() for experiment in experiments]
    settings = [key for key in _TITLES if key in rows[0]]
    figures = [key for key in _FIGURES if key in experiments[0].figures]
    others = sorted({row["varied"] for row in rows} - {f"Train.{key}" for key in settings})
    table = Table("Experiment", "Varied", *(_TITLES[key] for key in settings), *(_FIGURES[key] for key in figures))
    for number, (row, experiment) in enumerate(zip(rows, experiments, strict=True), 1):
        varied = row["varied"].rpartition(".")[2]
        if row["varied"] in others:
            varied += f" ({experiment.settings.globals.output.name})"
        cells = [f"{row[key]:g}" for key in settings] + [f"{experiment.figures[key]:.3f}" for key in figures]
        table.add_row(str(number), varied, *cells, style="bold" if experiment.best else "")
    return table
