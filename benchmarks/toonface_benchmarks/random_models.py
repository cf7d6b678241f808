"""PaddleX inference folders of the six models with random parameters: as fast as trained ones, and no better than dice.

Plain random parameters make dead networks: activations fade or explode from layer to layer, all scores are equal, and
whoever compares two forms of such a network compares ties. So the statistics of every batch norm are those of a forward
pass over drawn pictures, and the layers that a detector ends in are scaled to what a trained one gives: few scores
above the threshold of its NMS, boxes of moderate sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_export.pictures import face_crops, face_scenes
from toonface_training.networks import Detector, build, model
from toonface_training.networks.inference import write_inference

_SEED = 20_260
_SCENES, _CROPS = 2, 16
# Side in pixels of the scenes for a detector that takes any.
_ANY_SIZE = 640

# Layers that a detector ends in, by the end of their names, with mean and deviation of what they shall give: scores
# before their sigmoid or softmax, box edges before their decoding.
_SCORES, _BOXES = ("pred_cls", "head_cls", "scores"), ("pred_reg", "head_reg", "boxes")
_SCORE_MEAN, _SCORE_DEVIATION = -4.5, 1.5
_BOX_MEAN, _BOX_DEVIATION = 0.0, 0.7


def write_random_model(name: str, folder: Path) -> None:
    """Write the inference folder of one model; the same at every call.

    Args:
        name: PaddleX's name of the model.
        folder: where to write.
    """
    import paddle

    paddle.seed(_SEED)
    network = build(name)
    network.eval()
    with paddle.no_grad():
        _bring_to_life(network, model(name))
    write_inference(network, name, folder)


def _bring_to_life(network: Any, spec: Any) -> None:
    """One forward pass, after which every batch norm and every last layer fits the pictures that it saw."""
    import paddle

    removals = []
    for name, layer in network.named_sublayers():
        last = name.rstrip("0123456789.").split(".")[-1]
        if isinstance(layer, paddle.nn.BatchNorm | paddle.nn.BatchNorm2D):
            layer.training, layer._momentum = True, 0.0
        elif not isinstance(layer, paddle.nn.Conv2D):
            continue
        elif last in _SCORES:
            removals.append(_scale_output(layer, _SCORE_MEAN, _SCORE_DEVIATION))
        elif last in _BOXES:
            removals.append(_scale_output(layer, _BOX_MEAN, _BOX_DEVIATION))
    network(_pictures(spec))
    network.eval()
    for removal in removals:
        removal.remove()


def _scale_output(convolution: Any, mean: float, deviation: float) -> Any:
    """Scale a convolution at its next call so that each channel it gives has this mean and deviation."""
    import paddle

    weight = convolution.weight
    weight.set_value(paddle.normal(0.0, 1.0, weight.shape))

    def scale(layer: Any, _: Any, output: Any) -> Any:
        factor = deviation / output.std(axis=(0, 2, 3))
        shift = mean - factor * output.mean(axis=(0, 2, 3))
        weight.set_value(weight * factor.reshape([-1, 1, 1, 1]))
        layer.bias.set_value(layer.bias * factor + shift)
        return output * factor.reshape([1, -1, 1, 1]) + shift.reshape([1, -1, 1, 1])

    return convolution.register_forward_post_hook(scale)


def _pictures(spec: Any) -> Any:
    """What the network takes, of drawn pictures."""
    import paddle

    side = spec.size or _ANY_SIZE
    detector = isinstance(spec, Detector)
    pixels = face_scenes(_SCENES, side, side) if detector else face_crops(_CROPS)
    image = paddle.to_tensor(_normalised(pixels, spec.normalisation))
    if not detector:
        return image
    size = paddle.full([_SCENES, 2], side, "float32")
    return {"image": image, "im_shape": size, "scale_factor": paddle.ones([_SCENES, 2])}


def _normalised(pixels: NDArray[np.uint8], normalisation: Any) -> NDArray[np.float32]:
    mean, std = np.float32(normalisation.mean), np.float32(normalisation.std)
    normal = (pixels.astype(np.float32) * np.float32(normalisation.scale) - mean) / std
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))
