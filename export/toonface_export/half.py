"""FP16 inside a graph, node by node, and what that does to its answers on a machine that does not compute in FP16."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Inputs that stay FP32 by the ONNX standard, whatever the node computes in: the region and the scales of Resize.
_ALWAYS_FLOAT = {"Resize": (1, 2)}


def to_half(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """The same graph computed in FP16, with FP32 at its edges and in some nodes.

    Types are spelled out by Cast nodes where they change, once for each tensor, so that a strongly typed TensorRT
    network computes exactly what the graph says. (ONNX Runtime's own converter rounds between two neighbours that are
    both kept in FP32, too.)

    Args:
        model: a flat graph in FP32, with named nodes.
        keep: names of the nodes that stay in FP32.

    Returns:
        The graph; its inputs and outputs keep their types. Weights too large for FP16 become infinite.
    """
    graph, types = model.graph, _types(model)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    halves = {
        name
        for node in graph.node
        if node.name not in keep
        for name in node.output
        if types.get(name) == TensorProto.FLOAT
    }
    outputs = {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    parameters: dict[str, onnx.TensorProto] = {}
    cast: set[str] = set()

    def in_type(name: str, *, half: bool) -> str:
        """The name under which a float tensor is to be had in one type; casts it if need be."""
        if name in constants:
            typed = name + "/half" if half else name
            values = numpy_helper.to_array(constants[name])
            parameters[typed] = numpy_helper.from_array(_rounded(values) if half else values, typed)
            return typed
        original = name + "/half" if name in halves and name in outputs else name
        if (name in halves) == half:
            return original
        typed = name if name in outputs else name + ("/half" if half else "/float")
        if typed not in cast:
            cast.add(typed)
            to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            nodes.append(helper.make_node("Cast", [original], [typed], name=f"{typed}/cast", to=to))
        return typed

    for node in graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        half = any(name in halves for name in node.output)
        for position, name in enumerate(node.input):
            if types.get(name) == TensorProto.FLOAT:
                always = position in _ALWAYS_FLOAT.get(node.op_type, ())
                copied.input[position] = in_type(name, half=half and not always)
            elif name in constants:
                parameters[name] = constants[name]
        copied.output[:] = [name + "/half" if name in halves and name in outputs else name for name in node.output]
        if half and node.op_type == "Cast":
            copied.attribute[0].i = TensorProto.FLOAT16
        nodes.append(copied)
        for name in node.output:
            if name in halves and name in outputs:
                in_type(name, half=False)
    return _with(model, nodes, list(parameters.values()))


def emulate_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph computed in FP32, with every tensor that is FP16 in it rounded to FP16.

    ONNX Runtime has few FP16 operations for CPUs; where it lacks one, it computes in FP32 and leaves the rounding out,
    so that an FP16 graph looks better there than it is. Here each rounding is a pair of casts of its own, which stays.
    A GPU that fuses nodes rounds less often; one that sums up in FP16 rounds more.
    """
    types = _types(model)
    nodes = []
    for node in model.graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        halves = [name for name in node.output if types.get(name) == TensorProto.FLOAT16]
        if node.op_type == "Cast" and types.get(node.input[0]) == TensorProto.FLOAT16 and not halves:
            nodes.append(helper.make_node("Identity", list(node.input), list(node.output), name=node.name))
            continue
        if halves and node.op_type == "Cast":
            copied.attribute[0].i = TensorProto.FLOAT
        copied.output[:] = [name + "/exact" if name in halves else name for name in node.output]
        nodes.append(copied)
        for name in halves:
            nodes += [
                helper.make_node("Cast", [name + "/exact"], [name + "/rounded"], to=TensorProto.FLOAT16),
                helper.make_node("Cast", [name + "/rounded"], [name], to=TensorProto.FLOAT),
            ]
    parameters = [
        numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
        if tensor.data_type == TensorProto.FLOAT16
        else tensor
        for tensor in model.graph.initializer
    ]
    return _with(model, nodes, parameters)


def has_halves(model: onnx.ModelProto) -> bool:
    """Whether anything in the graph is FP16. Between inputs in FP32 and UINT8 that takes a Cast to it."""
    casts = (node for node in model.graph.node if node.op_type == "Cast")
    return any(node.attribute[0].i == TensorProto.FLOAT16 for node in casts)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """ONNX's number of the element type of every tensor."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output, *graph.input)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _rounded(values: NDArray[Any]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def _with(model: onnx.ModelProto, nodes: list[onnx.NodeProto], parameters: list[onnx.TensorProto]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:], changed.graph.initializer[:], changed.graph.value_info[:]
    changed.graph.node.extend(nodes)
    changed.graph.initializer.extend(parameters)
    return changed
