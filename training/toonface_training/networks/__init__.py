"""The networks of the six models, by PaddleX's names, on Paddle.

`build` makes a network, `toonface_training.networks.parameters` reads and writes its parameters,
`toonface_training.networks.inference` writes PaddleX's inference folder. Nothing else of the project knows that
PaddleDetection and PaddleClas exist.
"""

from __future__ import annotations

from typing import Any

from toonface_contract.errors import ConfigError
from toonface_training.networks.catalogue import DETECTORS, EMBEDDERS, MODELS, Detector, Embedder, Normalisation, model

__all__ = ["DETECTORS", "EMBEDDERS", "MODELS", "Detector", "Embedder", "Normalisation", "build", "model"]


def build(name: str, num_classes: int = 1) -> Any:
    """A new network with random parameters (seed them with `paddle.seed`).

    A detector takes a dict, and answers with one:

    - when training, of `image` [B, 3, S, S] float32 and the faces in it, as `toonface_training.networks.targets` lays
      them out; the answer holds `loss`, and the parts of it that the model has;
    - when evaluating, of `image`, `im_shape` [B, 2] (height and width of `image`) and `scale_factor` [B, 2] (by what
      the picture's height and width were multiplied); the answer holds `bbox` [N, 6] (class, score, x1, y1, x2, y2 in
      pixels of the picture) and `bbox_num` [B], how many of the rows are of each picture.

    An embedder takes [B, 3, 112, 112] float32 and answers with [B, D], not normalised to unit length.

    Args:
        name: PaddleX's name, a key of `MODELS`.
        num_classes: what a detector tells apart; an embedder has no classes.

    Returns:
        A `paddle.nn.Layer`, in training mode.

    Raises:
        ConfigError: there is no such model, `num_classes` is less than 1, or the libraries are not installed.
    """
    if num_classes < 1:
        raise ConfigError(f"num_classes is {num_classes}; a detector has at least one class")
    if isinstance(model(name), Detector):
        from toonface_training.networks.detectors import build_detector

        return build_detector(name, num_classes)
    from toonface_training.networks.embedders import build_embedder

    return build_embedder(name)
