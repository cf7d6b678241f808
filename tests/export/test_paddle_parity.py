"""Paddle as the judge: what it converts, what it answers, and graphs that differ from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from export_helpers import MODELS, Exported
from onnx import numpy_helper

from toonface_contract.errors import ExportError
from toonface_export.bounds import BOUNDS, misses
from toonface_export.evidence import Evidence
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.networks import ExportedDetector, ExportedEmbedder, export_detector
from toonface_export.nms import read_nms
from toonface_export.paddle_model import PROGRAM, read_paddle_model
from toonface_export.paddle_process import convert_to_onnx
from toonface_export.pictures import face_scenes
from toonface_export.references import detector_answers, load_reference
from toonface_export.runners import onnx_runner

DETECTOR = MODELS / "BlazeFace-FPN-SSH"


def _shipped(exported: Exported, model: str) -> onnx.ModelProto:
    return onnx.load(exported.path / model / "1" / "model.onnx")


def _scale_weights(model: onnx.ModelProto, factor: float) -> None:
    """Multiply the largest weight tensor of a graph."""
    largest = max(model.graph.initializer, key=lambda tensor: tensor.ByteSize())
    largest.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(largest) * np.float32(factor), largest.name))


def _misses(network: ExportedDetector | ExportedEmbedder, model: onnx.ModelProto) -> list[str]:
    reference = network.reference
    return misses(reference.figures(onnx_runner(model)(reference.pictures)), BOUNDS["f32"])


def test_the_shipped_models_are_within_their_bounds(exported: Exported) -> None:
    for section in ("detector", "recogniser"):
        network = exported.manifest[section]
        assert "f32" in network["parity"]
        for precision, figures in network["parity"].items():
            limits = network["bounds"][precision]
            assert limits
            assert all(figures[name]["value"] <= limit for name, limit in limits.items())
            assert figures["faces"]["value"] >= 4
    assert exported.manifest["detector"]["parity"]["f32"]["detections"]["value"] > 5


def test_the_reference_holds_paddle_s_answers_before_its_nms(exported: Exported) -> None:
    reference = exported.detector.reference
    assert reference.answers["boxes"].shape == (2, exported.detector.anchors, 4)
    assert reference.answers["scores"].shape == (2, exported.detector.anchors)
    assert reference.names == ("drawn picture 0", "drawn picture 1")


def test_the_candidates_of_a_shipped_detector_are_the_best_of_all(exported: Exported) -> None:
    pipeline = exported.pipeline.with_serving(backend="onnxruntime", candidates=300)
    evidence = Evidence(pipeline.options)
    detector = export_detector(pipeline.modules.detection, pipeline.serving, lambda step: None, evidence)
    assert detector.anchors == 300 < exported.detector.anchors
    assert detector.form.parity["f32"]["detections"].value > 5
    pictures = detector.reference.pictures
    found, whole = (onnx_runner(each.form.graph)(pictures) for each in (detector, exported.detector))
    assert found["boxes"].shape == (len(pictures), 300, 4)
    for row in range(len(pictures)):
        best = np.argsort(-whole["scores"][row], kind="stable")[:300]
        # ONNX Runtime computes the two graphs in another order; faces of all but the same score may change places.
        np.testing.assert_allclose(found["scores"][row], whole["scores"][row][best], atol=1e-5)
        for box, score in zip(found["boxes"][row], found["scores"][row], strict=True):
            alike = np.abs(whole["scores"][row] - score) < 1e-5
            assert np.abs(whole["boxes"][row][alike] - box).max(axis=1).min() < 1e-2


def test_a_reference_that_was_written_down_judges_alike(exported: Exported, tmp_path: Path) -> None:
    reference = exported.embedder.reference
    reference.save(tmp_path / "reference.npz")
    read = load_reference(tmp_path / "reference.npz", reference.judge)
    answers = onnx_runner(_shipped(exported, "face_embedding"))(read.pictures)
    assert read.names == reference.names
    assert read.figures(answers) == reference.figures(answers)


def test_a_detector_that_scores_otherwise_is_refused(exported: Exported) -> None:
    model = _shipped(exported, "face_detection")
    scores = next(node for node in model.graph.node if "scores" in node.output)
    scores.output[0] = "true_scores"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.997), "loss"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["true_scores", "loss"], ["scores"]))
    assert [text.split(" is ")[0] for text in _misses(exported.detector, model)] == [
        "score_difference",
        "raw_score_difference",
    ]


def test_a_detector_that_finds_other_faces_is_refused(exported: Exported) -> None:
    model = _shipped(exported, "face_detection")
    scores = next(node for node in model.graph.node if "scores" in node.output)
    scores.output[0] = "true_scores"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(-1), "minus"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["true_scores", "minus"], ["scores"]))
    found = _misses(exported.detector, model)
    assert any(text.startswith("unmatched_share is 1,") for text in found)
    assert any(text.startswith("changed_decisions is 1,") for text in found)


@pytest.mark.parametrize("factor", [0.5, float("nan")])
def test_an_embedder_with_other_weights_is_refused(exported: Exported, factor: float) -> None:
    model = _shipped(exported, "face_embedding")
    _scale_weights(model, factor)
    assert any(text.startswith("cosine_distance is") for text in _misses(exported.embedder, model))


def test_parameters_of_another_nms_are_noticed(exported: Exported) -> None:
    source = read_paddle_model(DETECTOR, known=DETECTORS)
    nms = read_nms(source)
    other = replace(nms, parameters=nms.parameters.model_copy(update={"iou_threshold": 0.9}))
    with pytest.raises(ExportError, match="BlazeFace-FPN-SSH: Paddle's NMS keeps .* boxes and ours"):
        detector_answers(source, face_scenes(3, 320, 320), exported.detector.normalisation, other, 1)


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
