"""Two trainings of a network in one: what lies between their parameters.

A network that is trained on for new data becomes better there and worse at what it knew; between its parameters and
those that it began with, both are often kept (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError
from toonface_training.networks import Embedder, build, model
from toonface_training.networks.exported import read_given
from toonface_training.networks.inference import write_inference
from toonface_training.networks.parameters import Parameters, set_parameters


def blend(name: str, one: Path, other: Path, share: float, output: Path) -> None:
    """Write an inference folder whose parameters lie between those of two.

    Args:
        name: PaddleX's name of the embedder that both are of.
        one: a `.pdparams` file, or an inference folder's `inference.pdiparams`.
        other: another, of which one was trained from the other, or both from a third: what lies between networks that
            have nothing in common is no network.
        share: of `other`, 0 to 1.
        output: folder to write; files in it of the same names are replaced.

    Raises:
        ConfigError: the model is no embedder, or a file cannot be read, or is of another network.
    """
    if not isinstance(model(name), Embedder):
        raise ConfigError(f"{name} is a detector; only embedders are blended")
    network = build(name)
    first, second = (_read(network, path) for path in (one, other))
    between = {key: ((1 - share) * array + share * second[key]).astype(array.dtype) for key, array in first.items()}
    set_parameters(network, between, other)
    write_inference(network, name, output)


def _read(network: Any, path: Path) -> Parameters:
    """The arrays of all of the network's parameters; the network has them, too."""
    if not path.is_file():
        raise ConfigError(f"{path} is no file; name a .pdparams file, or an inference folder's inference.pdiparams")
    given = read_given(network, path)
    set_parameters(network, given, path)
    return given
