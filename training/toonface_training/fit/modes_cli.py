"""The command `toonface run`."""

from __future__ import annotations

import shlex

import click

from toonface_client.cli import main
from toonface_training.fit.modes import commands
from toonface_training.fit.overrides import overridden
from toonface_training.fit.reading import read_settings


@click.command()
@click.option("-c", "--config", required=True, help="A YAML file with PaddleX's keys, or a model's name.")
@overridden
def run(config: str, overrides: tuple[str, ...]) -> None:
    """Do what a PaddleX configuration says, as PaddleX's main.py does.

    Global.mode chooses: check_dataset (and converts and splits first, if CheckDataset says so), train, evaluate or
    predict. Each is one of toonface's own commands, which is shown before it runs.

    \b
    Examples:
      toonface run -c PP-YOLOE_plus-S_face.yaml -o Global.mode=check_dataset -o Global.dataset_dir=dataset/faces
      toonface run -c PP-YOLOE_plus-S_face.yaml -o Global.mode=train -o Global.dataset_dir=dataset/faces
      toonface run -c PP-YOLOE_plus-S_face.yaml -o Global.mode=evaluate -o Global.dataset_dir=dataset/faces
      toonface run -c PP-YOLOE_plus-S_face.yaml -o Global.mode=predict -o Predict.input=picture.jpg
    """
    for line in commands(read_settings(config, overrides), config, overrides):
        click.echo(f"toonface {shlex.join(line)}", err=True)
        code = main.main(line, prog_name="toonface", standalone_mode=False)
        if code:
            click.get_current_context().exit(code)
