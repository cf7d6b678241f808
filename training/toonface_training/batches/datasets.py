"""Batches of a detection set and of a feature set on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import numpy as np

from toonface_contract.errors import ConfigError, InvalidImage
from toonface_ensemble.decode import decode_image
from toonface_training.batches import (
    Batch,
    Batches,
    DetectionBatch,
    FaceAugmentation,
    FeatureBatch,
    Pixels,
    SceneAugmentation,
)
from toonface_training.batches.files import Face, Scene
from toonface_training.batches.order import Order
from toonface_training.batches.restyled import Restyled


@dataclass(frozen=True)
class SceneBatches:
    """Batches of pictures with faces.

    Attributes:
        scenes: what to choose from.
        order: of the scenes.
        sizes: sides of the training pictures in pixels; each batch has one of them.
        augment: from a picture on the disk to one to learn from.
    """

    scenes: Sequence[Scene]
    order: Order
    sizes: Sequence[int]
    augment: SceneAugmentation

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, epoch: int, number: int) -> DetectionBatch:
        """See `Batches.batch`."""
        size = int(self.order.batch_rng(epoch, number).choice(self.sizes))
        images, boxes, classes = [], [], []
        for sample in self.order.positions(epoch, number):
            scene = self.scenes[sample]
            rng = self.order.sample_rng(epoch, int(sample))
            image, found, rows = self.augment(read_pixels(scene.path), scene.boxes, size, rng)
            images.append(image)
            boxes.append(found.astype(np.float32))
            classes.append(scene.classes[rows])
        return DetectionBatch(np.stack(images), boxes, classes)


@dataclass(frozen=True)
class FaceBatches:
    """Batches of pictures of one face each.

    Attributes:
        faces: what to choose from.
        order: of the faces.
        size: side of the training pictures in pixels.
        restyle: redraws the pictures of some identities.
        augment: from a picture on the disk to one to learn from.
    """

    faces: Sequence[Face]
    order: Order
    size: int
    restyle: Restyled
    augment: FaceAugmentation

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, epoch: int, number: int) -> FeatureBatch:
        """See `Batches.batch`."""
        samples = self.order.positions(epoch, number)
        images = []
        for sample in samples:
            face, rng = self.faces[sample], self.order.sample_rng(epoch, int(sample))
            picture = read_pixels(face.path)
            height, width = picture.shape[:2]
            box = np.array(face.box or (0, 0, width, height), np.float32)
            images.append(self.augment(self.restyle(picture, box, face.label), box, self.size, rng))
        return FeatureBatch(np.stack(images), np.array([self.faces[sample].label for sample in samples], np.int64))


@dataclass(frozen=True)
class Staged(Generic[Batch]):
    """One sort of batches in the first steps of a run, another in the others; small pictures first, for instance.

    Attributes:
        first: batches of the first steps.
        then: those of the others, as many in an epoch.
        switch: the first step of the others, from 0, over all epochs.
    """

    first: Batches[Batch]
    then: Batches[Batch]
    switch: int

    def __len__(self) -> int:
        return len(self.then)

    def batch(self, epoch: int, number: int) -> Batch:
        """See `Batches.batch`."""
        step = epoch * len(self) + number
        return (self.first if step < self.switch else self.then).batch(epoch, number)


def read_pixels(path: Path) -> Pixels:
    """A picture, decoded as the server decodes it.

    Raises:
        ConfigError: it is missing, or is no picture.
    """
    try:
        pixels: Pixels = decode_image(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"the training picture {path} cannot be read: {error.strerror or error}") from error
    except InvalidImage as error:
        raise ConfigError(f"the training picture {path}: {error.message}") from error
    return pixels
