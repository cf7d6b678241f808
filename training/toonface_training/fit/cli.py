"""The command `toonface train`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from toonface_contract.errors import ConfigError
from toonface_training.fit.blend import blend as write_blend
from toonface_training.fit.launch import launch
from toonface_training.fit.outputs import RESULT
from toonface_training.fit.overrides import overridden
from toonface_training.fit.reading import read_settings
from toonface_training.networks import DETECTORS, EMBEDDERS

_FORCE = click.option("--force", is_flag=True, help="Replace the result of another run in the output folder.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print train_result.json, and nothing else, at the end.")


@click.group()
def train() -> None:
    """Fine-tune a face detector, or a face embedder, on pictures of your own.

    CONFIG is a YAML file with PaddleX's keys, or one of the models' names, whose defaults are then taken:
    PP-YOLOE_plus-S_face, PicoDet_LCNet_x2_5_face, BlazeFace and BlazeFace-FPN-SSH detect; MobileFaceNet and
    ResNet50_face embed. Datasets are laid out as for PaddleX; `toonface dataset` makes, checks and converts them.

    A run starts from random parameters unless Train.pretrain_weight_path says from what: <model>_pretrained fetches
    PaddleX's, as PaddleX's own files do.

    \b
    Examples:
      toonface train detection PP-YOLOE_plus-S_face -o Global.dataset_dir=dataset/faces \\
          -o Train.pretrain_weight_path=PP-YOLOE_plus-S_face_pretrained -o Train.epochs_iters=10
      toonface train feature MobileFaceNet -o Global.dataset_dir=dataset/characters \\
          -o Train.pretrain_weight_path=MobileFaceNet_pretrained -o Train.arcmargin_m=0.3

    The output folder (Global.output, by default `output`) gets train.log, config.yaml, train_result.json, checkpoints,
    and best_model/, whose inference/ is what `toonface export` takes. Ctrl-C saves and ends the run; with
    -o Train.resume_path=output it goes on, and ends as if it had never been interrupted.
    """


def _run(kind: str, config: str, overrides: tuple[str, ...], force: bool, as_json: bool) -> None:
    settings = read_settings(config, overrides)
    name = settings.globals.model
    right = "detection" if name in DETECTORS else "feature"
    if kind != right:
        raise ConfigError(f"{name} is trained by `toonface train {right}`")
    code = launch(settings, force=force)
    if code:
        click.get_current_context().exit(code)
    if as_json:
        click.echo(
            json.dumps(json.loads((Path(settings.globals.output) / RESULT).read_text(encoding="utf-8")), indent=2)
        )


@train.command()
@click.argument("config")
@overridden
@_FORCE
@_JSON
def detection(config: str, overrides: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Train a face detector.

    The dataset has annotations/instance_train.json and instance_val.json (COCO), and its pictures in images/. After
    each epoch, the average precision on the validation part says whether the model is the best so far.
    """
    _run("detection", config, overrides, force, as_json)


@train.command()
@click.argument("config")
@overridden
@_FORCE
@_JSON
def feature(config: str, overrides: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Train a face embedder, with ArcFace.

    The dataset has train/label.txt (lines of `path class`) and val/pair_label.txt (lines of `left right 0 or 1`). After
    each epoch, the accuracy on those pairs says whether the model is the best so far.
    """
    _run("feature", config, overrides, force, as_json)


@train.command()
@click.argument("model", type=click.Choice(list(EMBEDDERS)))
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of OTHER's parameters.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Inference folder to write.")
def blend(model: str, one: Path, other: Path, share: float, output: Path) -> None:
    """Blend two trainings of an embedder: what lies between their parameters.

    An embedder that is trained on for other characters becomes better at those and worse at what it knew; between ONE,
    the parameters before, and OTHER, those afterwards, both are often kept. Each is a .pdparams file, or an inference
    folder's inference.pdiparams.

    \b
    Example:
      toonface train blend MobileFaceNet models/MobileFaceNet/inference.pdiparams \\
          output/best_model/inference/inference.pdiparams --output blended
    """
    write_blend(model, one, other, share, output)
    click.echo(f"wrote {output}")
