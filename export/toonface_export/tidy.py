"""Names that a person can read: paddle2onnx's and the folder's own tell where a tensor came from, not what it is."""

from __future__ import annotations

from collections import Counter

import onnx

# What the inputs of an operation are called, where they are constants; others are `constant1`, by their position.
_ROLES = {
    "Conv": {1: "weight", 2: "bias"},
    "ConvTranspose": {1: "weight", 2: "bias"},
    "Gemm": {1: "weight", 2: "bias"},
    "PRelu": {1: "slope"},
    "Reshape": {1: "shape"},
}


def tidy_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph under short names: nodes by operation and number (`conv_07`), tensors after their nodes.

    Inputs and outputs of the graph keep their names. A constant takes the name of the first node that reads it, and
    what it is there (`conv_07/weight`). The names depend on the graph alone.
    """
    tidied = onnx.ModelProto()
    tidied.CopyFrom(model)
    graph = tidied.graph
    del graph.value_info[:]
    kept = {value.name for value in (*graph.input, *graph.output)}
    constants = {tensor.name for tensor in graph.initializer}
    names: dict[str, str] = {name: name for name in kept} | {"": ""}
    numbers: Counter[str] = Counter()
    for node in graph.node:
        number = numbers[node.op_type]
        numbers[node.op_type] += 1
        node.name = f"{node.op_type.lower()}_{number:02d}"
        for position, name in enumerate(node.input):
            if name in constants and name not in names:
                role = _ROLES.get(node.op_type, {}).get(position, f"constant{position}")
                names[name] = f"{node.name}/{role}"
        for position, name in enumerate(node.output):
            names.setdefault(name, node.name if len(node.output) == 1 else f"{node.name}/{position}")
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    return tidied
