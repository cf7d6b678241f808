"""The served embedder: PaddleX's network with its preprocessing and its final L2 norm inside."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from toonface_contract.errors import ExportError
from toonface_contract.names import FACE_SIZE
from toonface_export.fused_input import fused_input
from toonface_export.onnx_graph import build_model, constant, constants_of, copy_nodes, fold, input_names
from toonface_export.preprocessing import Normalisation
from toonface_export.tidy import tidy_names

# Smallest norm to divide by, so that a feature vector of zeros gives zeros and not NaN.
MIN_NORM = 1e-12

NORM_NODES: tuple[str, ...] = ("norm", "safe_norm", "embedding")
"""Names of the nodes that divide by the norm."""


def build_embedder(converted: onnx.ModelProto, normalisation: Normalisation) -> onnx.ModelProto:
    """Make the graph that Triton serves.

    Args:
        converted: what paddle2onnx made: one input FP32 [B,3,112,112], one output FP32 [B,D].
        normalisation: from pixels to the network's input.

    Returns:
        A graph from `faces` UINT8 [B,112,112,3] (RGB) to `embedding` FP32 [B,D] of unit length, for any B.

    Raises:
        ExportError: the network has not one input and one output.
    """
    inputs, outputs = input_names(converted), [value.name for value in converted.graph.output]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(f"the embedder has the inputs {inputs} and the outputs {outputs}; one of each is needed")
    network = tidy_names(fold(converted))
    weights = constants_of(network.graph)
    pixel_nodes, pixel_constants = fused_input("faces", "normal_faces", normalisation)
    nodes = [
        *pixel_nodes,
        *copy_nodes(network.graph.node, weights, "network/", {inputs[0]: "normal_faces", outputs[0]: "features"}),
        helper.make_node("ReduceL2", ["features"], ["norm"], name=NORM_NODES[0], axes=[1], keepdims=1),
        helper.make_node("Max", ["norm", "min_norm"], ["safe_norm"], name=NORM_NODES[1]),
        helper.make_node("Div", ["features", "safe_norm"], ["embedding"], name=NORM_NODES[2]),
    ]
    dimension = converted.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    return fold(
        build_model(
            "face_embedding",
            nodes,
            [
                *weights.values(),
                *pixel_constants,
                constant("min_norm", MIN_NORM),
            ],
            [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["B", FACE_SIZE, FACE_SIZE, 3])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", dimension or "D"])],
            like=converted,
        )
    )
