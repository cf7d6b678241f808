"""A network's parameters out of an inference folder, to train on from a model that is deployed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError
from toonface_training.networks.parameters import Parameters, read_parameters, without_head

EXPORTED_SUFFIX = ".pdiparams"
# Paddle counts what it makes in a process, by kind: batch_norm2d_7.w_1 is the eighth layer's second tensor. What reads
# a program appends a count of its own.
_PADDLES_NAME = re.compile(r"(?P<kind>.+)_(?P<count>\d+)\.(?P<tensor>[a-z]+_\d+)(_\d+)?")


def read_given(network: Any, path: Path) -> Parameters:
    """A network's own arrays, of whichever file the user has.

    Args:
        network: see `read_exported`.
        path: a `.pdparams` file, whose training head is left out, or an inference folder's inference.pdiparams.

    Raises:
        ConfigError: the file cannot be read, or it is a program of other layers; whether a `.pdparams` file fits is not
            looked at.
    """
    if path.suffix == EXPORTED_SUFFIX:
        return read_exported(network, path)
    return without_head(read_parameters(path))


def read_exported(network: Any, path: Path) -> Parameters:
    """The arrays of an inference program, by their names in `network`.

    A program names its parameters by Paddle's counts alone; those of one kind were made in the same order in every
    process that built this network.

    Args:
        network: a `paddle.nn.Layer` as `toonface_training.networks.build` makes it, of the program's architecture.
        path: inference.pdiparams; the program lies beside it.

    Raises:
        ConfigError: Paddle cannot read the program, or it has other layers than the network: it is of another model, or
            layers were joined or left out when it was exported, as happens to PP-YOLOE_plus-S_face and
            PicoDet_LCNet_x2_5_face.
    """
    import paddle

    try:
        program = paddle.jit.load(str(path.with_suffix("")))
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{path} is not of an inference program that Paddle can read: {error}") from error
    given = _by_kind((tensor.name, tensor.numpy()) for tensor in program.state_dict().values())
    own = _by_kind((tensor.name, name) for name, tensor in network.state_dict().items())
    for kind in sorted(given.keys() | own.keys()):
        if len(given[kind]) != len(own[kind]):
            raise ConfigError(
                f"{path} has {len(given[kind])} tensors {kind}, and this network {len(own[kind])}: it is of another "
                "model, or layers were joined or left out for inference; start from the .pdparams file of its training"
            )
    return {name: array for kind, names in own.items() for name, array in zip(names, given[kind], strict=True)}


def _by_kind(named: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Values by kind of layer and place in it, in the order in which Paddle counted the layers."""
    counted: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for name, value in named:
        found = _PADDLES_NAME.fullmatch(name)
        if found is None:
            counted[name].append((0, value))
        else:
            counted[f"{found['kind']}.{found['tensor']}"].append((int(found["count"]), value))
    in_order = {kind: [value for _, value in sorted(each, key=lambda pair: pair[0])] for kind, each in counted.items()}
    return defaultdict(list, in_order)
