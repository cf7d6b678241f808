"""The served detector: PaddleX's network with its preprocessing inside and its NMS outside."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toonface_contract.errors import ExportError
from toonface_export.fused_input import fused_input
from toonface_export.nms import cut_nms
from toonface_export.onnx_graph import build_model, constant, constants_of, copy_nodes, fold, input_names, shape_of
from toonface_export.preprocessing import DetectorPreprocessing
from toonface_export.tidy import tidy_names

_PICTURE = "image"
_SIZE, _SCALE = "im_shape", "scale_factor"


def build_detector(
    converted: onnx.ModelProto, preprocessing: DetectorPreprocessing, face_class: int, pyramid_levels: int
) -> onnx.ModelProto:
    """Make the graph that Triton serves.

    The network runs once for each level of an image pyramid: on the input, on the input shrunk 2x by averaging, and so
    on. Each level is told the size of the whole input, so its boxes come out in the input's pixels; the anchors of all
    levels stand one after another, finest level first.

    Args:
        converted: what paddle2onnx made: inputs `image` and possibly `im_shape`, `scale_factor`; ends in an NMS.
        preprocessing: size and normalisation of the input.
        face_class: row of the class scores that is the face.
        pyramid_levels: 1 for the input alone.

    Returns:
        A graph from `detector_input` UINT8 [B,h,w,3] (RGB) to `boxes` FP32 [B,A,4] (x1, y1, x2, y2 in pixels of the
        input) and `scores` FP32 [B,A] (0 to 1), for any B.

    Raises:
        ExportError: the network has inputs that are not known, or no NMS.
    """
    network = tidy_names(fold(cut_nms(converted)))  # first, so that the levels share what folding makes of the weights
    unknown = sorted(set(input_names(network)) - {_PICTURE, _SIZE, _SCALE})
    if unknown:
        raise ExportError(f"the detector has the input {unknown[0]!r}; known are {_PICTURE}, {_SIZE} and {_SCALE}")
    height, width = preprocessing.input.height, preprocessing.input.width
    constants = constants_of(network.graph)
    biases = {name: tensor for name, tensor in constants.items() if _is_bias(tensor)}
    shared = {name: tensor for name, tensor in constants.items() if name not in biases}
    nodes, parameters = fused_input("detector_input", f"level0/{_PICTURE}", preprocessing.normalisation)
    parameters += [
        *shared.values(),
        constant("half", [1, 1, 0.5, 0.5]),
        constant("input_size", [[height, width]]),
        constant("unit_scale", [[1, 1]]),
        constant("face_class", face_class, np.int64),
    ]
    for level in range(pyramid_levels):
        prefix = f"level{level}/"
        if level:
            nodes.append(_halve(f"level{level - 1}/{_PICTURE}", prefix + _PICTURE))
        nodes += copy_nodes(network.graph.node, shared, prefix, {_SIZE: "input_size", _SCALE: "unit_scale"})
        parameters += [_distinct(tensor, prefix + name, level) for name, tensor in biases.items()]
    all_boxes = [f"level{level}/boxes" for level in range(pyramid_levels)]
    all_scores = [f"level{level}/class_scores" for level in range(pyramid_levels)]
    nodes += [
        helper.make_node("Concat", all_boxes, ["boxes"], axis=1),
        helper.make_node("Concat", all_scores, ["class_scores"], axis=2),
        helper.make_node("Gather", ["class_scores", "face_class"], ["scores"], axis=1),
    ]
    return fold(
        build_model(
            "face_detection",
            nodes,
            parameters,
            [helper.make_tensor_value_info("detector_input", TensorProto.UINT8, ["B", height, width, 3])],
            [
                helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", "A", 4]),
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", "A"]),
            ],
            like=converted,
        )
    )


def anchors_by_level(detector: onnx.ModelProto, pyramid_levels: int) -> list[int]:
    """How many of the boxes that `build_detector`'s graph answers with come from each level, finest level first."""
    if pyramid_levels == 1:
        return [shape_of(detector, "boxes")[1]]
    joined = next(node for node in detector.graph.node if "boxes" in node.output)
    return [shape_of(detector, name)[1] for name in joined.input]


def _halve(picture: str, output: str) -> onnx.NodeProto:
    """A node that shrinks by 2x: between two pixels, halfway, linear interpolation is the mean of 2 x 2."""
    return helper.make_node(
        "Resize", [picture, "", "half"], [output], mode="linear", coordinate_transformation_mode="half_pixel"
    )


def _is_bias(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 1 and tensor.dims[0] > 1


def _distinct(tensor: onnx.TensorProto, name: str, level: int) -> onnx.TensorProto:
    """A copy of a bias whose largest number is `level` units of least precision up, so that no two levels' are equal.

    OpenVINO makes one of equal constants, and then keeps the addition of a bias out of its convolution, because others
    read it too: three levels would take half as long again.
    """
    values = numpy_helper.to_array(tensor).copy()
    largest = np.abs(values).argmax()
    for _ in range(level):
        values[largest] = np.nextafter(values[largest], np.float32(np.inf))
    return numpy_helper.from_array(values, name)
