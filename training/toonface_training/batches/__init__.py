"""Batches of training pictures as plain numpy arrays, for whichever engine learns from them.

A batch is a function of the seed, the epoch and its number in the epoch, and of nothing else: batches can be made in
any order and by several processes, and a run that is resumed sees the very pictures that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""A picture: UINT8 [H,W,3], RGB."""


@dataclass(frozen=True, eq=False)
class DetectionBatch:
    """Pictures with faces, all of one size.

    Attributes:
        images: UINT8 [B,S,S,3], RGB.
        boxes: for each picture FP32 [n,4], x1, y1, x2, y2 in pixels of `images`; n may be 0.
        classes: for each picture INT64 [n], from 0.
    """

    images: Pixels
    boxes: Sequence[NDArray[np.float32]]
    classes: Sequence[NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Pictures of one face each.

    Attributes:
        images: UINT8 [B,S,S,3], RGB.
        labels: INT64 [B], whose face it is, from 0.
    """

    images: Pixels
    labels: NDArray[np.int64]


Batch = TypeVar("Batch", DetectionBatch, FeatureBatch, covariant=True)


class Batches(Protocol[Batch]):
    """The batches of a dataset. It is picklable: processes that make batches get a copy each."""

    def __len__(self) -> int:
        """Batches in an epoch, at least 1."""

    def batch(self, epoch: int, number: int) -> Batch:
        """One batch. The same arguments give the same batch, to the last bit.

        Args:
            epoch: from 0.
            number: 0 to `len(self) - 1`.
        """


class SceneAugmentation(Protocol):
    """Makes a training picture for a detector out of one with faces."""

    def __call__(
        self, picture: Pixels, boxes: NDArray[np.float32], size: int, rng: np.random.Generator
    ) -> tuple[Pixels, NDArray[np.float32], NDArray[np.intp]]:
        """UINT8 [size,size,3], the boxes in it FP32 [m,4], and for each of these its row in `boxes` INT [m]."""


class FaceAugmentation(Protocol):
    """Makes a training picture for an embedder out of one of a face."""

    def __call__(self, picture: Pixels, box: NDArray[np.float32], size: int, rng: np.random.Generator) -> Pixels:
        """UINT8 [size,size,3] of the face in `box`, FP32 [4] (x1, y1, x2, y2 in pixels of the picture)."""
