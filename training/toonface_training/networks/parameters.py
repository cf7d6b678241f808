"""Parameters of a network in Paddle's files, `.pdparams`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError

Parameters = dict[str, NDArray[Any]]

SUFFIX = ".pdparams"
# PaddleX saves an embedder together with its training head, under these two names.
BACKBONE = "backbone."
HEAD_WEIGHT = "head.weight"
# Names to quote in a message.
_QUOTED = 4


def read_parameters(path: Path) -> Parameters:
    """The arrays in a `.pdparams` file, by name. Paddle unpickles it: read none from a source that you do not trust.

    Raises:
        ConfigError: there is no such file, or Paddle cannot read it.
    """
    import paddle

    if not path.is_file():
        raise ConfigError(f"there is no file of parameters at {path}")
    try:
        content = paddle.load(str(path), return_numpy=True)
    except Exception as error:  # whatever unpickling a foreign file raises
        raise ConfigError(f"{path} is not a file of parameters that Paddle can read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, not parameters by their names")
    return {name: np.asarray(array) for name, array in content.items() if name != "StructuredToParameterName@@"}


def write_parameters(parameters: Mapping[str, Any], path: Path) -> None:
    """Write a `.pdparams` file of arrays or tensors; a file of that name is replaced at once, when it is complete."""
    import paddle

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    paddle.save({name: paddle.to_tensor(array) for name, array in parameters.items()}, str(temporary))
    os.replace(temporary, path)


def without_head(parameters: Mapping[str, NDArray[Any]]) -> Parameters:
    """An embedder's own parameters, of a file that holds its training head as well; others are returned as they are."""
    if not all(name.startswith(BACKBONE) or name == HEAD_WEIGHT for name in parameters):
        return dict(parameters)
    return {name.removeprefix(BACKBONE): array for name, array in parameters.items() if name != HEAD_WEIGHT}


def set_parameters(
    network: Any, parameters: Mapping[str, NDArray[Any]], source: object, *, fit: bool = False
) -> list[str]:
    """Give a network its parameters.

    Args:
        network: a `paddle.nn.Layer`.
        parameters: by name.
        source: what to call them in messages.
        fit: leave out those that are missing, unknown, or of another shape, as when fine-tuning a network of other
            classes; all must fit otherwise.

    Returns:
        What did not fit, one sentence each; empty unless `fit`.

    Raises:
        ConfigError: a parameter is missing, unknown or of another shape, or, with `fit`, none fits.
    """
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    problems = [f"{name} is missing" for name in own if name not in parameters]
    problems += [f"{name} is not of this network" for name in parameters if name not in own]
    fitting = {}
    for name, array in parameters.items():
        if own.get(name) == array.shape:
            fitting[name] = array
        elif name in own:
            problems.append(f"{name} has shape {list(array.shape)}, this network's has {list(own[name])}")
    if problems and (not fit or not fitting):
        more = f"; and {len(problems) - _QUOTED} more" if len(problems) > _QUOTED else ""
        raise ConfigError(f"{source} does not fit: {'; '.join(problems[:_QUOTED])}{more}")
    network.set_state_dict(fitting)
    return problems
