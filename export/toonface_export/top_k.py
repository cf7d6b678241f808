"""A detector that answers with its best candidates alone: fewer bytes between stages, less to sort for the NMS."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from toonface_contract.errors import ExportError
from toonface_export.onnx_graph import build_model, constant, shape_of


def keep_best(detector: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """Add a top-k of the candidates by score.

    The NMS afterwards takes its candidates by score too: as long as `count` is not less than its `max_candidates`, or
    than the candidates over the threshold, the faces are the same.

    Args:
        detector: a graph with the outputs `boxes` FP32 [B,A,4] and `scores` FP32 [B,A].
        count: candidates to keep, K. With A or more the graph stays as it is.

    Returns:
        The graph with `boxes` FP32 [B,K,4] and `scores` FP32 [B,K], the highest score first.

    Raises:
        ExportError: the number of anchors is not fixed in the graph.
    """
    anchors = shape_of(detector, "boxes")[1]
    if anchors < 1:
        raise ExportError("the number of the detector's boxes is not fixed, so the best of them cannot be chosen")
    if count >= anchors:
        return detector
    renamed = onnx.ModelProto()
    renamed.CopyFrom(detector)
    outputs = {"boxes": "all_boxes", "scores": "all_scores"}
    for node in renamed.graph.node:
        node.input[:] = [outputs.get(name, name) for name in node.input]
        node.output[:] = [outputs.get(name, name) for name in node.output]
        node.name = outputs.get(node.name, node.name)
    nodes = [
        *renamed.graph.node,
        helper.make_node("TopK", ["all_scores", "candidates"], ["scores", "best"], name="scores", axis=1),
        helper.make_node("Unsqueeze", ["best", "last_axis"], ["best_rows"]),
        helper.make_node("GatherND", ["all_boxes", "best_rows"], ["boxes"], batch_dims=1),
    ]
    return build_model(
        renamed.graph.name,
        nodes,
        [*renamed.graph.initializer, constant("candidates", [count], np.int64), constant("last_axis", [2], np.int64)],
        list(renamed.graph.input),
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", count, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", count]),
        ],
        like=detector,
    )
