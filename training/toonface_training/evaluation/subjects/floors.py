"""Embedders that have learned nothing. A trained one must stand well above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toonface_training.evaluation.subjects import Embedder, Pixels, face_crop
from toonface_training.evaluation.subjects.batches import batches
from toonface_training.evaluation.subjects.paddle import import_paddle
from toonface_training.networks import build

FLOORS = ("random-network", "colour-histogram")

_SEED = 20_260
_FACES_AT_ONCE = 32
# Hue, saturation, value; OpenCV's ranges on UINT8.
_BINS, _RANGES = (8, 4, 4), (0, 180, 0, 256, 0, 256)


class ColourHistogram:
    """How often each colour occurs in the face: 8 hues, 4 saturations, 4 values.

    Square roots of the shares, so that the inner product of two is their Bhattacharyya coefficient.
    """

    name = "colour-histogram"

    def embed(self, faces: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
        """See `Embedder`."""
        for face in faces:
            colours = cv2.cvtColor(face_crop(face), cv2.COLOR_RGB2HSV)
            counts = cv2.calcHist([colours], [0, 1, 2], None, list(_BINS), list(_RANGES)).ravel()
            yield np.sqrt(counts / counts.sum()).astype(np.float32)


def floor(name: str) -> Embedder:
    """The floor of that name, one of `FLOORS`."""
    return ColourHistogram() if name == "colour-histogram" else RandomNetwork()


class RandomNetwork:
    """MobileFaceNet as it is before training, with the server's preprocessing."""

    name = "random-network"

    def __init__(self) -> None:
        self._paddle = import_paddle()
        self._paddle.seed(_SEED)
        self._network: Any = build("MobileFaceNet")
        self._network.eval()

    def embed(self, faces: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
        """See `Embedder`."""
        for batch in batches(faces, _FACES_AT_ONCE):
            pixels = np.stack([face_crop(face) for face in batch]).transpose(0, 3, 1, 2)
            with self._paddle.no_grad():
                features = self._network(self._paddle.to_tensor((pixels.astype(np.float32) / 255 - 0.5) / 0.5)).numpy()
            yield from features / np.linalg.norm(features, axis=1, keepdims=True)
