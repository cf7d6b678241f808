"""Names for people, and the best candidates alone."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from export_helpers import Exported
from onnx import TensorProto, helper, numpy_helper
from small_networks import OPSETS, chain

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import NmsParameters, select_faces
from toonface_export.tidy import tidy_names
from toonface_export.top_k import keep_best


def test_nodes_and_tensors_are_named_by_what_they_are() -> None:
    model = chain("Mul", "Add", "Mul")
    for node in model.graph.node:
        node.name = f"p2o.pd_op.{node.name}.0.0"
    tidied = tidy_names(model)
    assert [(node.name, list(node.input), list(node.output)) for node in tidied.graph.node] == [
        ("mul_00", ["x", "mul_00/constant1"], ["mul_00"]),
        ("add_00", ["mul_00", "mul_00/constant1"], ["add_00"]),
        ("mul_01", ["add_00", "mul_00/constant1"], ["y"]),
    ]
    assert model.graph.node[0].name == "p2o.pd_op.mul.0.0"


def test_the_shipped_graphs_have_no_name_of_the_converter_s(exported: Exported) -> None:
    known = re.compile(r"((level\d|network)/)?[a-z0-9_]+(/(weight|bias|slope|shape|constant\d|\d))?")
    for model in ("face_detection", "face_embedding"):
        graph = onnx.load(exported.path / model / "1" / "model.onnx").graph
        names = [node.name for node in graph.node] + [tensor.name for tensor in graph.initializer]
        assert [name for name in names if not known.fullmatch(name)] == []
        assert len(graph.node) < 600


def _detector(anchors: int | str) -> onnx.ModelProto:
    """Boxes and scores as they are given."""
    values = [
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["B", anchors, 4]),
        helper.make_tensor_value_info("s", TensorProto.FLOAT, ["B", anchors]),
    ]
    results = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", anchors, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", anchors]),
    ]
    nodes = [helper.make_node("Relu", ["b"], ["boxes"]), helper.make_node("Relu", ["s"], ["scores"])]
    return helper.make_model(helper.make_graph(nodes, "g", values, results), opset_imports=OPSETS, ir_version=8)


def test_the_best_candidates_give_the_same_faces() -> None:
    random = np.random.default_rng(3)
    corners = random.uniform(0, 100, (2, 50, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + random.uniform(5, 30, (2, 50, 2)).astype(np.float32)], axis=2)
    scores = random.permuted(np.linspace(0.01, 0.99, 100, dtype=np.float32)).reshape(2, 50)
    best = keep_best(_detector(50), 20)
    onnx.checker.check_model(best, full_check=True)
    session = onnxruntime.InferenceSession(best.SerializeToString(), providers=["CPUExecutionProvider"])
    best_boxes, best_scores = session.run(["boxes", "scores"], {"b": boxes, "s": scores})
    assert best_boxes.shape == (2, 20, 4)
    np.testing.assert_array_equal(best_scores, -np.sort(-scores, axis=1)[:, :20])
    nms = NmsParameters(iou_threshold=0.3, max_candidates=20, max_faces=-1, normalized=True)
    for row in range(2):
        expected = select_faces(boxes[row], scores[row], 0.0, nms)
        for ours, theirs in zip(select_faces(best_boxes[row], best_scores[row], 0.0, nms), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_more_candidates_than_there_are_change_nothing() -> None:
    model = _detector(50)
    assert keep_best(model, 50) is model


def test_anchors_that_vary_are_refused() -> None:
    with pytest.raises(ExportError, match="the number of the detector's boxes is not fixed"):
        keep_best(_detector("A"), 20)


def test_constants_that_two_nodes_read_keep_one_name() -> None:
    tidied = tidy_names(chain("Mul", "Mul"))
    assert [tensor.name for tensor in tidied.graph.initializer] == ["mul_00/constant1"]
    assert numpy_helper.to_array(tidied.graph.initializer[0]) == 2
