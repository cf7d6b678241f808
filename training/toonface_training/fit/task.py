"""From settings and a dataset to what a run is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from toonface_contract.errors import ConfigError
from toonface_training.batches import Batch, Batches, FaceAugmentation, SceneAugmentation
from toonface_training.batches.datasets import FaceBatches, SceneBatches, Staged
from toonface_training.batches.drawn import CropOfFace, WindowOfScene
from toonface_training.batches.files import LABELS, SCENES, read_faces, read_scenes
from toonface_training.batches.order import Order, Share
from toonface_training.batches.plain import plain_face, plain_scene
from toonface_training.batches.restyled import Restyled
from toonface_training.fit.engine import Recipe
from toonface_training.fit.settings import DetectionSettings, FeatureSettings, Settings, Train
from toonface_training.networks import DETECTORS, EMBEDDERS


@dataclass(frozen=True)
class Task:
    """What to learn, and from what.

    Attributes:
        recipe: for the engine.
        batches: of one epoch.
        labels: a detector's class names; for an embedder, none.
    """

    recipe: Recipe
    batches: Batches[Any]
    labels: tuple[str, ...]


def make_task(settings: Settings, device: str, share: Share) -> Task:
    """Read the dataset, and hold the settings against it.

    Args:
        settings: of the run.
        device: of this process, such as `cpu` or `gpu:0`.
        share: of this process.

    Raises:
        ConfigError: the dataset is missing or wrong, or Train.num_classes is not what it needs.
    """
    dataset = settings.globals.dataset_dir
    if dataset is None:
        raise ConfigError("Global.dataset_dir is not set: -o Global.dataset_dir=...")
    if not dataset.is_dir():
        raise ConfigError(f"Global.dataset_dir is {dataset}, which is no folder")
    if isinstance(settings, FeatureSettings):
        return _feature_task(settings, dataset, device, share)
    return _detection_task(settings, dataset, device, share)


def find_pretrained(settings: Settings) -> Path | None:
    """The file of parameters to start from, fetched if the settings name one of PaddleX's.

    Raises:
        ConfigError: there is no such file.
        FetchError: it cannot be fetched.
    """
    given = settings.train.pretrain_weight_path
    if given is None:
        return None
    published = f"{settings.globals.model}_pretrained.pdparams"
    name = Path(urlsplit(given).path).name if "://" in given else given
    if name in (published, published.removesuffix(".pdparams")) and not Path(given).is_file():
        from toonface_export.fetch import fetch_item, make_place
        from toonface_export.fetch_catalogue import find_item

        return fetch_item(find_item(published), make_place()).path
    path = Path(given)
    if not path.is_file():
        raise ConfigError(
            f"Train.pretrain_weight_path is {given}, which is no file; {published.removesuffix('.pdparams')} fetches "
            "PaddleX's parameters, null starts without"
        )
    return path


def _detection_task(settings: DetectionSettings, dataset: Path, device: str, share: Share) -> Task:
    train, spec = settings.train, DETECTORS[settings.globals.model]
    scenes, labels = read_scenes(dataset)
    if train.num_classes not in (None, len(labels)):
        raise ConfigError(
            f"Train.num_classes is {train.num_classes}, but {dataset / SCENES} has {len(labels)} categories: "
            f"{', '.join(labels)}"
        )
    order = Order(len(scenes), train.batch_size, train.seed, share)
    sizes = tuple(train.image_size or spec.train_sizes)
    augment: SceneAugmentation = WindowOfScene() if train.augmentation == "drawings" else plain_scene
    batches = SceneBatches(scenes, order, sizes, augment)
    first = replace(batches, sizes=(train.first_image_size,)) if train.first_image_size else None
    return Task(_recipe(settings, device, len(labels)), _staged(train, first, batches), tuple(labels))


def _feature_task(settings: FeatureSettings, dataset: Path, device: str, share: Share) -> Task:
    train, spec = settings.train, EMBEDDERS[settings.globals.model]
    faces = read_faces(dataset)
    needed = 1 + max(face.label for face in faces)
    if train.num_classes is not None and train.num_classes < needed:
        raise ConfigError(
            f"Train.num_classes is {train.num_classes}, but labels in {dataset / LABELS} go up to {needed - 1}; "
            f"set it to {needed}, or to null"
        )
    size = train.image_size or spec.size
    for key, side in (("image_size", size), ("first_image_size", train.first_image_size or size)):
        if side != spec.size and train.engine == "paddle":
            raise ConfigError(f"Train.{key} is {side}; {spec.name} takes faces of {spec.size} pixels on Paddle")
    order = Order(len(faces), train.batch_size, train.seed, share)
    recipe = _recipe(settings, device, train.num_classes or needed, scale=train.arcmargin_s)
    augment: FaceAugmentation = CropOfFace() if train.augmentation == "drawings" else plain_face
    batches = FaceBatches(faces, order, size, Restyled(train.restyled, train.seed), augment)
    first = replace(batches, size=train.first_image_size) if train.first_image_size else None
    return Task(recipe, _staged(train, first, batches), ())


def _staged(train: Train, first: Batches[Batch] | None, then: Batches[Batch]) -> Batches[Batch]:
    """`first` for the run's first share of steps, if there is one, and `then` for the others."""
    return Staged(first, then, round(train.first_share * train.epochs_iters * len(then))) if first else then


def _recipe(settings: Settings, device: str, num_classes: int, **more: float) -> Recipe:
    train = settings.train
    return Recipe(
        model=settings.globals.model,
        num_classes=num_classes,
        device=device,
        optimizer=train.optimizer,
        weight_decay=train.weight_decay,
        clip_norm=train.clip_norm,
        ema_decay=train.ema_decay,
        amp=train.amp,
        compiled=train.compile,
        **more,
    )
