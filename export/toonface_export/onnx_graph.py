"""Small, model-blind operations on ONNX graphs. None changes its argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from toonface_contract.errors import ExportError


def input_names(model: onnx.ModelProto) -> list[str]:
    """Names of the graph's inputs, in order."""
    return [value.name for value in model.graph.input]


def shape_of(model: onnx.ModelProto, name: str) -> list[int]:
    """Sizes of a tensor of the graph, by shape inference; 0 where a size varies.

    Raises:
        ExportError: shape inference does not reach the tensor.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    for value in (*graph.output, *graph.value_info):
        if value.name == name:
            return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    raise ExportError(f"the graph {graph.name!r} does not tell the shape of its tensor {name!r}")


def nodes_up_to(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that the tensors `outputs` depend on, in the graph's own (topological) order."""
    needed = set(outputs)
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(name for name in node.input if name)
            kept.append(node)
    return kept[::-1]


def constants_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Every constant tensor by name: the initializers, and the values of `Constant` nodes."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    return constants


def constant(name: str, values: object, dtype: type[np.generic] = np.float32) -> onnx.TensorProto:
    """An initializer holding `values` as `dtype`."""
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def copy_nodes(
    nodes: Sequence[onnx.NodeProto], shared: Mapping[str, onnx.TensorProto], prefix: str, renames: Mapping[str, str]
) -> list[onnx.NodeProto]:
    """Copies of nodes under new tensor names, so that a graph may hold the same network several times.

    Args:
        nodes: nodes without sub-graphs; `Constant` nodes among them are left out: see `constants_of`.
        shared: tensors that all copies share, and that keep their names.
        prefix: put before every other tensor name and node name.
        renames: tensors that take exactly the name given here, such as the network's input.
    """

    def new_name(name: str) -> str:
        return name if not name or name in shared else renames.get(name, prefix + name)

    copies = []
    for node in nodes:
        if node.op_type == "Constant":
            continue
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name = prefix + (node.name or node.output[0])
        copied.input[:] = [new_name(name) for name in node.input]
        copied.output[:] = [new_name(name) for name in node.output]
        copies.append(copied)
    return copies


def build_model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[onnx.TensorProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    like: onnx.ModelProto,
) -> onnx.ModelProto:
    """A model of these parts, with the opset and IR version of `like`.

    Initializers that no node reads are left out, and nodes without a name take that of their first output.
    """
    for node in nodes:
        node.name = node.name or node.output[0]
    used = {tensor for node in nodes for tensor in node.input}
    graph = helper.make_graph(
        nodes, name, inputs, outputs, initializer=[tensor for tensor in initializers if tensor.name in used]
    )
    return helper.make_model(
        graph, producer_name="toonface", opset_imports=like.opset_import, ir_version=like.ir_version
    )


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with everything folded that depends on constants alone, and checked against the ONNX standard.

    Raises:
        ExportError: the result is not valid ONNX.
    """
    import onnxslim  # not there where only engines are built

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    folded: onnx.ModelProto = onnxslim.slim(copied)
    try:
        onnx.checker.check_model(folded, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the graph {model.graph.name!r} is not valid ONNX after folding: {error}") from error
    return folded
