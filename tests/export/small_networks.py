"""Networks of a few nodes, shaped like those that paddle2onnx makes, whose answers can be worked out by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = [helper.make_opsetid("", 17)]


def detector(*, nms_nodes: int = 1, scale_input: str = "scale_factor") -> onnx.ModelProto:
    """A detector with one anchor, the picture itself.

    Its box is (0, 0, width, height) by `im_shape`; the scores of its two classes are the means of the red and the green
    channel of `image`.
    """
    constants = {"one": [1], "two": [2], "swap": [1, 0], "first_two": [0, 1], "most": [10]}
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, np.int64)))
        for name, values in constants.items()
    ]
    nodes += [
        helper.make_node("Div", ["im_shape", scale_input], ["original_size"]),
        helper.make_node("Gather", ["original_size", "swap"], ["corner"], axis=1),
        helper.make_node("Sub", ["corner", "corner"], ["origin"]),
        helper.make_node("Concat", ["origin", "corner"], ["box"], axis=1),
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "first_two"], ["two_means"], axis=1),
        helper.make_node("Unsqueeze", ["two_means", "two"], ["scores_before_nms"]),
        # The box depends on the picture only in its batch size, as anchors do.
        helper.make_node("Sub", ["two_means", "two_means"], ["zeros"]),
        helper.make_node("Concat", ["zeros", "zeros"], ["four_zeros"], axis=1),
        helper.make_node("Add", ["box", "four_zeros"], ["batch_of_box"]),
        helper.make_node("Unsqueeze", ["batch_of_box", "one"], ["boxes_before_nms"]),
    ]
    nodes += [
        helper.make_node("NonMaxSuppression", ["boxes_before_nms", "scores_before_nms", "most"], [f"selected{number}"])
        for number in range(nms_nodes)
    ]
    inputs = [
        helper.make_tensor_value_info("im_shape", TensorProto.FLOAT, ["B", 2]),
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, "H", "W"]),
        helper.make_tensor_value_info(scale_input, TensorProto.FLOAT, ["B", 2]),
    ]
    outputs = [
        helper.make_tensor_value_info(f"selected{number}", TensorProto.INT64, ["N", 3]) for number in range(nms_nodes)
    ] or [helper.make_tensor_value_info("boxes_before_nms", TensorProto.FLOAT, ["B", 1, 4])]
    return helper.make_model(helper.make_graph(nodes, "small", inputs, outputs), opset_imports=OPSETS, ir_version=8)


def embedder() -> onnx.ModelProto:
    """An embedder whose features are the means of the three normalised channels."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["features_out"], axes=[2, 3], keepdims=0)]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3, 112, 112])],
            [helper.make_tensor_value_info("features_out", TensorProto.FLOAT, ["B", 3])],
        ),
        opset_imports=OPSETS,
        ir_version=8,
    )


def chain(*operations: str, factor: float = 2.0) -> onnx.ModelProto:
    """Operations on a vector, one after the other, from `x` to `y` FP32 [N].

    `Mul` and `Add` take `factor`; `Square` multiplies by itself. Nodes and tensors are named by operation in small
    letters, the second of a kind with `_1`; the last tensor is `y`.
    """
    seen: dict[str, int] = {}
    nodes, last = [], "x"
    for position, operation in enumerate(operations):
        number = seen.setdefault(operation, 0)
        seen[operation] += 1
        name = operation.lower() + (f"_{number}" if number else "")
        output = "y" if position == len(operations) - 1 else name
        kind = "Mul" if operation == "Square" else operation
        more = {"Mul": ["factor"], "Add": ["factor"], "Square": [last]}.get(operation, [])
        nodes.append(helper.make_node(kind, [last, *more], [output], name=name))
        last = output
    constants = [numpy_helper.from_array(np.float32(factor), "factor")]
    used = [tensor for tensor in constants if any("factor" in node.input for node in nodes)]
    vectors = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"])] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", *vectors, used)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)


def swish_layers(count: int) -> onnx.ModelProto:
    """Layers of a 3x3 convolution and `x * sigmoid(x)`, from `pixels` UINT8 [B,16,16,3] to `features` FP32 [B,8]."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float_pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float_pixels"], ["layer_0"], perm=[0, 3, 1, 2]),
    ]
    weights = []
    for number in range(count):
        last, weight, wide, gate = f"layer_{number}", f"weight_{number}", f"wide_{number}", f"gate_{number}"
        values = random.normal(0, 0.1, (8, 8 if number else 3, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, weight))
        nodes += [
            helper.make_node("Conv", [last, weight], [wide], pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", [wide], [gate]),
            helper.make_node("Mul", [wide, gate], [f"layer_{number + 1}"]),
        ]
    nodes.append(helper.make_node("ReduceMean", [f"layer_{count}"], ["features"], axes=[2, 3], keepdims=0))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["B", 16, 16, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["B", 8])
    graph = helper.make_graph(nodes, "swish_layers", [pixels], [features], weights)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
