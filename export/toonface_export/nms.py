"""The NMS that PaddleX's detectors end in: read from the program, and cut from the graph.

In the graph it pins the batch to one picture, and TensorRT does not take it. `crop_align` applies it instead, with the
parameters read here.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import NmsParameters
from toonface_export.onnx_graph import nodes_up_to
from toonface_export.paddle_model import PaddleModel
from toonface_export.paddle_program import attributes, operations, read_program

_PADDLE_OP = "multiclass_nms3"
_ONNX_OP = "NonMaxSuppression"


@dataclass(frozen=True)
class DetectorNms:
    """The attributes of a detector's `multiclass_nms3`.

    Attributes:
        parameters: what `crop_align` applies.
        score_threshold: what the graph's own NMS demands of a candidate's score (`score_threshold`); a request's
            `det_threshold` takes its place.
        background_class: the class that is no face (`background_label`); -1 if there is none.
    """

    parameters: NmsParameters
    score_threshold: float
    background_class: int

    @property
    def face_class(self) -> int:
        """The class that is a face: the first that is not the background."""
        return 1 if self.background_class == 0 else 0


def read_nms(model: PaddleModel) -> DetectorNms:
    """Read the NMS parameters from a detector's program, where they stand with Paddle's own names.

    Raises:
        ExportError: the program is none that is known, has no NMS or several, or one of a kind that is not served.
    """
    found = operations(read_program(model.program), _PADDLE_OP)
    if len(found) != 1:
        raise ExportError(
            f"{model.own_program} has {len(found)} {_PADDLE_OP} operations, not one; export the detector with its NMS, "
            "as PaddleX does by itself"
        )
    given = attributes(found[0])
    if given["nms_eta"] != 1.0:
        raise ExportError(
            f"{model.own_program} asks for an adaptive NMS (nms_eta {given['nms_eta']}); only 1.0 is served"
        )
    return DetectorNms(
        NmsParameters(
            # The program holds single-precision numbers written in double precision: 0.30000001192092896 is 0.3.
            iou_threshold=round(given["nms_threshold"], 6),
            max_candidates=given["nms_top_k"],
            max_faces=given["keep_top_k"],
            normalized=given["normalized"],
        ),
        score_threshold=round(given["score_threshold"], 6),
        background_class=given["background_label"],
    )


def cut_nms(model: onnx.ModelProto) -> onnx.ModelProto:
    """The part of a converted detector that comes before its NMS.

    Returns:
        A graph with two outputs: `boxes` FP32 [B,A,4] (x1, y1, x2, y2) and `class_scores` FP32 [B,C,A].

    Raises:
        ExportError: the graph has no NonMaxSuppression node, or several.
    """
    graph = model.graph
    found = [node for node in graph.node if node.op_type == _ONNX_OP]
    if len(found) != 1:
        raise ExportError(
            f"the converted detector has {len(found)} {_ONNX_OP} nodes, not one; known graphs end in a single NMS"
        )
    boxes, scores = found[0].input[:2]
    nodes = nodes_up_to(graph, [boxes, scores])
    nodes += [
        helper.make_node("Identity", [boxes], ["boxes"]),
        helper.make_node("Identity", [scores], ["class_scores"]),
    ]
    outputs = [
        helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, ["B", "A", 4]),
        helper.make_tensor_value_info("class_scores", onnx.TensorProto.FLOAT, ["B", "C", "A"]),
    ]
    used = {name for node in nodes for name in node.input}
    cut = helper.make_graph(
        nodes,
        graph.name,
        [value for value in graph.input if value.name in used],
        outputs,
        initializer=[tensor for tensor in graph.initializer if tensor.name in used],
    )
    return helper.make_model(cut, opset_imports=model.opset_import, ir_version=model.ir_version)
