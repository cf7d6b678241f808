"""PaddleX inference folders of the six models with random parameters: as fast as trained ones, and no better than dice.

Plain random parameters make dead networks: activations fade or explode from layer to layer, all scores are equal, and
whoever compares two forms of such a network compares ties. So the statistics of every batch norm are those of a forward
pass over drawn pictures, and the layers that a detector ends in are scaled to what a trained one gives: of its
thousands of anchors one in a hundred scores more than its NMS demands and one in a thousand more than one half, and
boxes are of moderate sizes. On other pictures than the drawn ones it may be more or fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonface_export.pictures import face_crops, face_scenes
from toonface_training.networks import Detector, build, model
from toonface_training.networks.inference import write_inference

_SEED = 20_260
_SCENES, _CROPS = 2, 16
# Side in pixels of the scenes for a detector that takes any.
_ANY_SIZE = 640

# Shares of the anchors, and the logits that the scores of so many exceed: an NMS demands 0.01 (PicoDet's 0.025).
_CANDIDATES, _CANDIDATE_LOGIT = 0.01, math.log(0.01 / 0.99)
_FACES, _FACE_LOGIT = 0.001, 0.0
# Of box edges before their decoding; their mean is 0.
_BOX_DEVIATION = 0.7

# By what each channel of an output [B, C, H, W] is to be multiplied, and what is to be added then: two of [C].
_Fit: TypeAlias = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


def write_random_model(name: str, folder: Path) -> None:
    """Write the inference folder of one model; the same at every call, but for the last bit of some statistics.

    Those are sums, whose order depends on where in memory an array lies.

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
        elif isinstance(layer, paddle.nn.Conv2D) and last in _FITS:
            removals.append(_scale_output(layer, _FITS[last], mirrored=last == "scores"))
    network(_pictures(spec))
    network.eval()
    for removal in removals:
        removal.remove()


def _scale_output(convolution: Any, fit: _Fit, *, mirrored: bool) -> Any:
    """Draw a convolution's weights, and let its next call scale them and what it gives.

    Args:
        convolution: with a bias.
        fit: of what it gives without one.
        mirrored: let every other channel be the negative of the one before.
    """
    import paddle

    weight, bias = convolution.weight, convolution.bias
    drawn = paddle.normal(0.0, 1.0, weight.shape)
    if mirrored:
        drawn = paddle.stack([drawn[::2], -drawn[::2]], axis=1).reshape(weight.shape)
    weight.set_value(drawn)
    bias.set_value(paddle.zeros_like(bias))

    def scale(layer: Any, _: Any, output: Any) -> Any:
        factor, shift = (paddle.to_tensor(values) for values in fit(output.numpy()))
        weight.set_value(weight * factor.reshape([-1, 1, 1, 1]))
        bias.set_value(shift)
        return output * factor.reshape([1, -1, 1, 1]) + shift.reshape([1, -1, 1, 1])

    return convolution.register_forward_post_hook(scale)


def _fit_scores(
    output: NDArray[np.float32], candidate: float = _CANDIDATE_LOGIT, face: float = _FACE_LOGIT
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """So that the shares of the anchors that are wanted exceed the two logits."""
    low, high = np.quantile(output, [1 - _CANDIDATES, 1 - _FACES], axis=(0, 2, 3))
    factor = (face - candidate) / (high - low)
    return factor.astype(np.float32), (candidate - factor * low).astype(np.float32)


def _fit_boxes(output: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    factor = _BOX_DEVIATION / output.std(axis=(0, 2, 3))
    return factor, -factor * output.mean(axis=(0, 2, 3))


def _fit_score_and_boxes(output: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """PicoDet's first channel is the score, the others are box edges."""
    (factor, shift), (factors, shifts) = _fit_scores(output[:, :1]), _fit_boxes(output[:, 1:])
    return np.concatenate([factor, factors]), np.concatenate([shift, shifts])


def _fit_scores_and_backgrounds(output: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """BlazeFace's channels are each anchor's face and its negative, of which the softmax sees the difference."""
    factor, shift = _fit_scores(output[:, ::2], _CANDIDATE_LOGIT / 2, _FACE_LOGIT / 2)
    return np.repeat(factor, 2), np.stack([shift, -shift], axis=1).ravel()


# Of the layers that a detector ends in, by the end of their names: scores before their sigmoid or softmax, box edges
# before their decoding.
_FITS: dict[str, _Fit] = {
    "pred_cls": _fit_scores,
    "head_cls": _fit_score_and_boxes,
    "scores": _fit_scores_and_backgrounds,
    "pred_reg": _fit_boxes,
    "boxes": _fit_boxes,
}


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
