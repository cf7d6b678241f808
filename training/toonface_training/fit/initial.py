"""What a run starts from, whichever engine goes on with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toonface_training.fit.engine import EngineState
from toonface_training.networks import Embedder, build, model
from toonface_training.networks.exported import read_given
from toonface_training.networks.parameters import (
    BACKBONE,
    HEAD_WEIGHT,
    Parameters,
    set_parameters,
)


def initial_state(name: str, num_classes: int, seed: int, pretrained: Path | None) -> tuple[EngineState, list[str]]:
    """A network's parameters before training.

    Args:
        name: PaddleX's name of the model.
        num_classes: of a detector, or identities that an embedder is trained to tell apart.
        seed: of what is random.
        pretrained: a `.pdparams` file, or an inference folder's `.pdiparams`, to take parameters from, as far as they
            fit; None for random ones.

    Returns:
        The state, and what of `pretrained` did not fit.

    Raises:
        ConfigError: the file cannot be read, or nothing in it fits.
    """
    import paddle

    paddle.seed(seed)
    spec = model(name)
    network = build(name) if isinstance(spec, Embedder) else build(name, num_classes)
    misfits = []
    if pretrained is not None:
        misfits = set_parameters(network, read_given(network, pretrained), pretrained, fit=True)
    parameters: Parameters = {key: value.numpy() for key, value in network.state_dict().items()}
    if isinstance(spec, Embedder):
        parameters = {BACKBONE + key: value for key, value in parameters.items()}
        # Xavier's normal distribution, as PaddleClas starts its ArcMargin.
        deviation = np.sqrt(2 / (spec.dimension + num_classes))
        head = np.random.default_rng(seed).normal(0, deviation, (spec.dimension, num_classes))
        parameters[HEAD_WEIGHT] = head.astype(np.float32)
    return EngineState(parameters), misfits
