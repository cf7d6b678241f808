"""Paddle as the judge: what it converts, what it answers, and graphs that differ from it."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from export_helpers import MODELS, Exported
from onnx import numpy_helper

from toonface_contract.errors import ExportError
from toonface_export.families import DETECTORS, EMBEDDERS, family_of
from toonface_export.nms import read_nms
from toonface_export.paddle_model import PROGRAM, read_paddle_model
from toonface_export.paddle_process import convert_to_onnx
from toonface_export.parity import BOUNDS, check_detector, check_embedder
from toonface_export.preprocessing import detector_preprocessing, embedder_normalisation

EMBEDDER = MODELS / "MobileFaceNet"
DETECTOR = MODELS / "BlazeFace-FPN-SSH"


def _shipped(exported: Exported, model: str) -> onnx.ModelProto:
    return onnx.load(exported.path / model / "1" / "model.onnx")


def _scale_weights(model: onnx.ModelProto, factor: float) -> None:
    """Multiply the largest weight tensor of a graph."""
    largest = max(model.graph.initializer, key=lambda tensor: tensor.ByteSize())
    largest.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(largest) * np.float32(factor), largest.name))


def _check_detector(detector: onnx.ModelProto) -> dict[str, float]:
    source = read_paddle_model(DETECTOR, known=DETECTORS)
    preprocessing = detector_preprocessing(source, family_of(source.name), canvas=(256, 320), divisor=32)
    return check_detector(source, detector, preprocessing, read_nms(source.program), pyramid_levels=2)


def _check_embedder(embedder: onnx.ModelProto) -> dict[str, float]:
    source = read_paddle_model(EMBEDDER, known=EMBEDDERS)
    return check_embedder(source, embedder, embedder_normalisation(source), "x")


def test_the_shipped_models_are_within_their_bounds(exported: Exported) -> None:
    figures = {**exported.manifest["detector"]["parity"], **exported.manifest["recogniser"]["parity"]}
    assert figures["detections"] > 10
    assert set(BOUNDS) < set(figures)
    assert all(figures[name] <= bound.limit for name, bound in BOUNDS.items())


def test_a_detector_that_scores_otherwise_is_refused(exported: Exported) -> None:
    model = _shipped(exported, "face_detection")
    scores = next(node for node in model.graph.node if "scores" in node.output)
    scores.output[0] = "true_scores"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.99), "loss"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["true_scores", "loss"], ["scores"]))
    with pytest.raises(ExportError, match=r"BlazeFace-FPN-SSH: parity .*: score_difference is .*, allowed is 0.001"):
        _check_detector(model)


def test_a_detector_that_finds_other_faces_is_refused(exported: Exported) -> None:
    model = _shipped(exported, "face_detection")
    scores = next(node for node in model.graph.node if "scores" in node.output)
    scores.output[0] = "true_scores"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(-1), "minus"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["true_scores", "minus"], ["scores"]))
    with pytest.raises(ExportError, match=r"unmatched_share is 1, .* the model was not written"):
        _check_detector(model)


@pytest.mark.parametrize("factor", [0.5, float("nan")])
def test_an_embedder_with_other_weights_is_refused(exported: Exported, factor: float) -> None:
    model = _shipped(exported, "face_embedding")
    _scale_weights(model, factor)
    with pytest.raises(ExportError, match="MobileFaceNet: parity with Paddle failed: cosine_distance is"):
        _check_embedder(model)


def test_a_program_that_paddle_cannot_read_is_quoted(embedder_folder: Path) -> None:
    program = json.loads((embedder_folder / PROGRAM).read_text())
    for operation in program["program"]["regions"][0]["blocks"][0]["ops"]:
        if operation["#"] == "1.prelu":
            operation["#"] = "1.no_such_operation"
    (embedder_folder / PROGRAM).write_text(json.dumps(program))
    model = read_paddle_model(embedder_folder, known=EMBEDDERS)
    with pytest.raises(
        ExportError, match=rf"(?s)Paddle failed on {embedder_folder} \(to_onnx, exit code .*unsupported operators"
    ):
        convert_to_onnx(model)
