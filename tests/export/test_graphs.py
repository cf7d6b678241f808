"""The graphs that are served, on networks whose answers are known beforehand, and on the shipped models."""

import numpy as np
import onnx
import onnxruntime
import pytest
from export_helpers import Exported
from numpy.typing import NDArray
from onnx import numpy_helper
from small_networks import detector, embedder

from toonface_contract.errors import ExportError
from toonface_ensemble.placement import DetectorInput
from toonface_export.detector_graph import anchors_by_level, build_detector
from toonface_export.embedder_graph import build_embedder
from toonface_export.families import DETECTORS, family_of
from toonface_export.onnx_graph import copy_nodes, fold, nodes_up_to, shape_of
from toonface_export.paddle_model import read_paddle_model
from toonface_export.paddle_process import convert_to_onnx
from toonface_export.pictures import face_crops, face_scenes
from toonface_export.preprocessing import DetectorPreprocessing, Normalisation, detector_preprocessing

HALVES = Normalisation(1 / 255, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))


def _run(model: onnx.ModelProto, **inputs: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, inputs)]


def _small_detector(levels: int = 1, face_class: int = 0) -> onnx.ModelProto:
    placed = DetectorInput(height=8, width=16, keep_ratio=False, interpolation="linear")
    return build_detector(detector(), DetectorPreprocessing(placed, HALVES), face_class, levels)


def _pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("face_class", [0, 1])
def test_pixels_are_normalised_and_the_face_class_chosen(face_class: int) -> None:
    pictures = _pictures(3, 8, 16)
    boxes, scores = _run(_small_detector(face_class=face_class), detector_input=pictures)
    means = HALVES.apply(pictures)[:, face_class].mean(axis=(1, 2))
    np.testing.assert_allclose(scores, means[:, np.newaxis], rtol=1e-5)
    np.testing.assert_array_equal(boxes, np.broadcast_to(np.float32([0, 0, 16, 8]), (3, 1, 4)))


def test_each_pyramid_level_sees_half_the_picture_and_answers_in_its_pixels() -> None:
    model = _small_detector(levels=3)
    assert anchors_by_level(model, 3) == [1, 1, 1]
    pictures = _pictures(2, 8, 16)
    boxes, scores = _run(model, detector_input=pictures)
    # Averaging halves the picture and keeps its mean, so all levels agree in this network.
    np.testing.assert_allclose(scores, scores[:, :1].repeat(3, axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(boxes, np.broadcast_to(np.float32([0, 0, 16, 8]), (2, 3, 4)))


def test_a_detector_with_an_unknown_input_is_refused() -> None:
    placed = DetectorInput(height=8, width=16, keep_ratio=False, interpolation="linear")
    with pytest.raises(ExportError, match="the detector has the input 'depth'; known are image, im_shape and scale"):
        build_detector(detector(scale_input="depth"), DetectorPreprocessing(placed, HALVES), 0, 1)


def test_an_embedding_has_unit_length_and_is_computed_from_normalised_pixels() -> None:
    faces = _pictures(4, 112, 112)
    [embeddings] = _run(build_embedder(embedder(), HALVES), faces=faces)
    means = HALVES.apply(faces).mean(axis=(2, 3))
    np.testing.assert_allclose(embeddings, means / np.linalg.norm(means, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_features_of_zero_give_zeros_and_not_nan() -> None:
    identity = Normalisation(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    [embeddings] = _run(build_embedder(embedder(), identity), faces=np.zeros((2, 112, 112, 3), np.uint8))
    np.testing.assert_array_equal(embeddings, np.zeros((2, 3), np.float32))


def test_an_embedder_with_two_outputs_is_refused() -> None:
    model = embedder()
    model.graph.output.append(model.graph.output[0])
    with pytest.raises(ExportError, match="one of each is needed"):
        build_embedder(model, HALVES)


def test_nodes_that_nothing_depends_on_are_left_out() -> None:
    assert {node.output[0] for node in nodes_up_to(detector().graph, ["two_means"])} == {
        "first_two",
        "means",
        "two_means",
    }


def test_copies_share_constants_and_nothing_else() -> None:
    node = onnx.helper.make_node("Gather", ["image", "index"], ["picked"], axis=1)
    [copied] = copy_nodes([node], {"index": onnx.TensorProto()}, "level1/", {"image": "input"})
    assert (list(copied.input), list(copied.output), copied.name) == (
        ["input", "index"],
        ["level1/picked"],
        "level1/picked",
    )
    assert list(node.input) == ["image", "index"]


def test_an_unknown_shape_is_an_error() -> None:
    with pytest.raises(ExportError, match="does not tell the shape of its tensor 'nothing'"):
        shape_of(detector(), "nothing")


def test_folding_changes_no_argument_and_no_answer() -> None:
    model = _small_detector(levels=2)
    before = model.SerializeToString(deterministic=True)
    pictures = _pictures(2, 8, 16)
    for expected, found in zip(
        _run(model, detector_input=pictures), _run(fold(model), detector_input=pictures), strict=True
    ):
        np.testing.assert_array_equal(expected, found)
    assert model.SerializeToString(deterministic=True) == before


def test_an_invalid_graph_is_refused() -> None:
    model = embedder()
    model.graph.node[0].op_type = "NoSuchOperation"
    with pytest.raises(ExportError, match="'small' is not valid ONNX"):
        fold(model)


def _shipped(exported: Exported, model: str) -> onnx.ModelProto:
    return onnx.load(exported.path / model / "1" / "model.onnx")


def test_the_shipped_detector_answers_alike_alone_and_in_a_batch(exported: Exported) -> None:
    model, scenes = _shipped(exported, "face_detection"), face_scenes(3, 256, 320)
    together = _run(model, detector_input=scenes)
    for row in range(3):
        for whole, single in zip(together, _run(model, detector_input=scenes[row : row + 1]), strict=True):
            np.testing.assert_allclose(whole[row], single[0], rtol=1e-4, atol=1e-4)


def test_the_second_level_of_the_shipped_detector_is_the_first_on_half_the_picture(exported: Exported) -> None:
    """A picture enlarged 2x by repeating pixels is, shrunk 2x by averaging, what it was."""
    model = _shipped(exported, "face_detection")
    fine, coarse = anchors_by_level(model, 2)
    half = face_scenes(1, 128, 160)
    boxes, scores = _run(model, detector_input=half.repeat(2, axis=1).repeat(2, axis=2))
    assert (boxes.shape, scores.shape) == ((1, fine + coarse, 4), (1, fine + coarse))

    source = read_paddle_model(exported.pipeline.modules.detection.model_dir, known=DETECTORS)
    placed = detector_preprocessing(source, family_of(source.name), canvas=(128, 160), divisor=16)
    half_boxes, half_scores = _run(build_detector(convert_to_onnx(source), placed, 0, 1), detector_input=half)
    np.testing.assert_allclose(scores[:, fine:], half_scores, atol=1e-4)
    np.testing.assert_allclose(boxes[:, fine:], 2 * half_boxes, atol=0.01)


def test_the_shipped_embedder_takes_a_blank_row_among_others(exported: Exported) -> None:
    model, crops = _shipped(exported, "face_embedding"), face_crops(3)
    crops[1] = 0
    [embeddings] = _run(model, faces=crops)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    [alone] = _run(model, faces=crops[2:])
    np.testing.assert_allclose(embeddings[2], alone[0], atol=1e-5)


def test_all_levels_share_their_weights(exported: Exported) -> None:
    """Without sharing, two levels would take twice the space of the Paddle model's weights."""
    source = exported.pipeline.modules.detection.model_dir / "inference.pdiparams"
    model = exported.path / "face_detection" / "1" / "model.onnx"
    assert model.stat().st_size < 1.5 * source.stat().st_size


def test_no_two_levels_have_an_equal_bias(exported: Exported) -> None:
    """OpenVINO would make one constant of them, and compute more slowly."""
    graph = _shipped(exported, "face_detection").graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    bias_of = {
        node.name: values[node.input[2]] for node in graph.node if node.op_type == "Conv" and len(node.input) == 3
    }
    firsts = [name for name in bias_of if name.startswith("level0/")]
    assert len(firsts) > 40
    for name in firsts:
        first, second = bias_of[name], bias_of[name.replace("level0/", "level1/")]
        assert not np.array_equal(first, second)
        np.testing.assert_allclose(first, second, rtol=1e-6)
