"""Parameters to and from Paddle's names and layout, and the proof that both networks then answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toonface_contract.errors import ConfigError, ExportError
from toonface_training.networks import Detector, build, model
from toonface_training.networks.parameters import Parameters, set_parameters
from toonface_training.twin.blazeface import BlazeFace
from toonface_training.twin.mobilefacenet import MobileFaceNet
from toonface_training.twin.resnet import ResNet50

NETWORKS: Mapping[str, type[nn.Module]] = {
    "MobileFaceNet": MobileFaceNet,
    "ResNet50_face": ResNet50,
    "BlazeFace-FPN-SSH": BlazeFace,
}
# The largest difference of an answer, as a part of the largest answer. Both compute in single precision, and sum up in
# another order.
TOLERANCE = 1e-4
_COUNTER = "num_batches_tracked"


def paddle_names(network: nn.Module) -> dict[str, str]:
    """Paddle's name of each parameter and statistic, by its name in `network`."""
    names = {}
    for prefix, module in network.named_modules():
        for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            own = f"{prefix}.{name}" if prefix else name
            if name == _COUNTER:
                continue
            if isinstance(module, nn.BatchNorm2d):
                name = {"running_mean": "_mean", "running_var": "_variance"}.get(name, name)
            elif isinstance(module, nn.PReLU):
                name = "_weight"
            names[own] = f"{prefix}.{name}" if prefix else name
    return names


def to_paddle(network: nn.Module, tensors: Mapping[str, torch.Tensor] | None = None) -> Parameters:
    """The parameters of `network`, or `tensors` of the same names, as Paddle has them: copies, by Paddle's names."""
    tensors = network.state_dict() if tensors is None else tensors
    return {paddle: tensors[own].detach().numpy().copy() for own, paddle in paddle_names(network).items()}


def from_paddle(network: nn.Module, parameters: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Paddle's `parameters` by the names of `network`.

    Raises:
        ConfigError: one is missing, unknown or of another shape.
    """
    names = paddle_names(network)
    unknown = sorted(set(parameters) - set(names.values()))
    tensors, own_state = {}, network.state_dict()
    for own, paddle in names.items():
        found = parameters[paddle].shape if paddle in parameters else None
        if found != tuple(own_state[own].shape):
            unknown.append(f"{paddle} of shape {found and list(found)}, wanted {list(own_state[own].shape)}")
            continue
        tensors[own] = torch.from_numpy(np.array(parameters[paddle], np.float32))
    if unknown:
        raise ConfigError(f"the parameters are not those of this network: {'; '.join(unknown[:4])}")
    return tensors


def prove_equal(name: str, parameters: Parameters) -> float:
    """Hold Paddle's network against the twin: with these parameters, both must answer alike to the same input.

    Args:
        name: PaddleX's name of the model.
        parameters: by Paddle's names, without a training head.

    Returns:
        The largest difference of an answer, as a part of the largest answer.

    Raises:
        ExportError: it is larger than `TOLERANCE`.
        ConfigError: there is no twin of this name, or the parameters are not those of this network.
    """
    if name not in NETWORKS:
        raise ConfigError(f"there is no twin of {name}; there are those of {', '.join(NETWORKS)}")
    import paddle

    twin = NETWORKS[name]()
    twin.load_state_dict(from_paddle(twin, parameters), strict=False)
    twin.eval()
    network = build(name)
    set_parameters(network, parameters, "the twin")
    network.eval()
    detector = isinstance(model(name), Detector)
    shape = (2, 3, 320, 256) if detector else (4, 3, 112, 112)
    pictures = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with torch.inference_mode(), paddle.no_grad():
        answers = twin(torch.from_numpy(pictures))
        others = _raw_answers(network, pictures) if detector else [network(paddle.to_tensor(pictures)).numpy()]
    ours = [each.numpy() for each in (answers if detector else [answers])]
    difference = max(
        float(np.abs(own - other).max() / np.abs(other).max()) for own, other in zip(ours, others, strict=True)
    )
    if not difference <= TOLERANCE:
        raise ExportError(f"{name}: Paddle's answers differ from the twin's by {difference:.1e}, more than {TOLERANCE}")
    return difference


def _raw_answers(network: Any, pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Offsets [B,A,4] and logits [B,A,2] of PaddleDetection's BlazeFace, before it decodes them."""
    import paddle

    image = paddle.to_tensor(pictures)
    (offsets, logits), _ = network.blaze_head(network.neck(network.backbone({"image": image})), image)
    return [paddle.concat(offsets, axis=1).numpy(), paddle.concat(logits, axis=1).numpy()]
