"""Says how good a model is, as `toonface evaluate` does: through the inference folder that would be served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toonface_contract.errors import ConfigError
from toonface_contract.options import RecognitionOptions
from toonface_training.batches.files import PAIRS, VAL_SCENES
from toonface_training.fit.settings import FeatureSettings, Settings

Judge = Callable[[Path], dict[str, float]]
"""From an inference folder to figures of PaddleX's names, the one that decides first."""


def judged_by(settings: Settings) -> Path:
    """The file in a run's dataset that its models are judged by, whether it is there or not.

    Raises:
        ConfigError: no dataset is set.
    """
    dataset = settings.globals.dataset_dir
    if dataset is None:
        raise ConfigError("Global.dataset_dir is not set: -o Global.dataset_dir=...")
    return dataset / (PAIRS if isinstance(settings, FeatureSettings) else VAL_SCENES)


def make_judge(settings: Settings) -> Judge | None:
    """The judge of a run's models; None where the dataset has nothing to judge by.

    Detectors are judged by COCO's AP on `annotations/instance_val.json`, embedders by the accuracy on the pairs of
    `val/pair_label.txt`, with mirrored pictures too, as PaddleX does it.

    Raises:
        ConfigError: the validation part of the dataset is not what it should be.
    """
    path = judged_by(settings)
    if not path.is_file():
        return None
    return _pairs_judge(path) if isinstance(settings, FeatureSettings) else _scenes_judge(path)


def _scenes_judge(annotations: Path) -> Judge:
    from toonface_export.serving import Serving
    from toonface_training.evaluation.datasets import read_scenes
    from toonface_training.evaluation.detection import evaluate_detection
    from toonface_training.evaluation.subjects.paddle import PaddleDetector

    scenes = read_scenes(annotations.parents[1], "val")

    def judge(folder: Path) -> dict[str, float]:
        found = evaluate_detection(PaddleDetector(folder, Serving()), scenes, RecognitionOptions().det_threshold)
        return {name: value for name, value in found.metrics.items() if value is not None}

    return judge


def _pairs_judge(path: Path) -> Judge:
    from toonface_training.evaluation.datasets import read_pairs
    from toonface_training.evaluation.feature import evaluate_feature
    from toonface_training.evaluation.subjects.paddle import PaddleEmbedder

    pairs = read_pairs(path)

    def judge(folder: Path) -> dict[str, float]:
        found = evaluate_feature(
            PaddleEmbedder(folder), pairs=pairs, rec_threshold=RecognitionOptions().rec_threshold, flip_test=True
        )
        return {name: value for name, value in found.metrics.items() if value is not None}

    return judge
