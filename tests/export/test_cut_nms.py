import json
from pathlib import Path
from typing import Any

import pytest
from small_networks import detector

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import NmsParameters
from toonface_export.nms import DetectorNms, cut_nms, read_nms
from toonface_export.onnx_graph import input_names
from toonface_export.paddle_model import PARAMETERS, PROGRAM, PaddleModel

_ATTRIBUTES = {
    "score_threshold": 0.009999999776482582,
    "nms_top_k": 1000,
    "keep_top_k": 300,
    "nms_threshold": 0.699999988079071,
    "normalized": False,
    "nms_eta": 1.0,
    "background_label": 0,
}


def _model(folder: Path) -> PaddleModel:
    program = folder / PROGRAM
    return PaddleModel(folder, "BlazeFace", {}, {PROGRAM: ""}, program, folder / PARAMETERS)


def _program(folder: Path, *, operations: int = 1, **changed: Any) -> PaddleModel:
    """A model whose Paddle program holds such NMS operations inside another operation, and little else."""
    attributes = [{"N": name, "AT": {"#": "0.a", "D": value}} for name, value in {**_ATTRIBUTES, **changed}.items()]
    inner = [{"#": "1.softmax"}] + [{"#": "1.multiclass_nms3", "A": attributes}] * operations
    outer = {"#": "1.if", "regions": [{"blocks": [{"ops": inner}]}]}
    program = {"regions": [{"blocks": [{"ops": [{"#": "p"}, outer]}]}]}
    (folder / PROGRAM).write_text(json.dumps({"base_code": {"magic": "pir", "version": 3}, "program": program}))
    return _model(folder)


def test_the_parameters_of_the_shipped_detector(detector_folder: Path) -> None:
    assert read_nms(_model(detector_folder)) == DetectorNms(
        NmsParameters(iou_threshold=0.3, max_candidates=5000, max_faces=750, normalized=True),
        score_threshold=0.01,
        background_class=1,
    )


def test_single_precision_numbers_are_read_as_they_were_meant(tmp_path: Path) -> None:
    nms = read_nms(_program(tmp_path))
    assert (nms.parameters.iou_threshold, nms.score_threshold) == (0.7, 0.01)
    assert (nms.parameters.max_candidates, nms.parameters.max_faces, nms.parameters.normalized) == (1000, 300, False)


@pytest.mark.parametrize(("background", "face"), [(-1, 0), (0, 1), (1, 0)])
def test_the_face_is_the_class_that_is_not_the_background(tmp_path: Path, background: int, face: int) -> None:
    assert read_nms(_program(tmp_path, background_label=background)).face_class == face


@pytest.mark.parametrize("operations", [0, 2])
def test_a_program_needs_one_nms(tmp_path: Path, operations: int) -> None:
    with pytest.raises(ExportError, match=f"has {operations} multiclass_nms3 operations, not one; export the detector"):
        read_nms(_program(tmp_path, operations=operations))


def test_an_adaptive_nms_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nms_eta 0.9"):
        read_nms(_program(tmp_path, nms_eta=0.9))


@pytest.mark.parametrize(("content", "message"), [("{", "is not JSON"), ("[]", "is not a program of Paddle")])
def test_a_file_that_is_no_program(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / PROGRAM).write_text(content)
    with pytest.raises(ExportError, match=message):
        read_nms(_model(tmp_path))


def test_the_cut_leaves_what_comes_before() -> None:
    cut = cut_nms(detector())
    assert {node.op_type for node in cut.graph.node}.isdisjoint({"NonMaxSuppression"})
    assert [value.name for value in cut.graph.output] == ["boxes", "class_scores"]
    assert input_names(cut) == ["im_shape", "image", "scale_factor"]


@pytest.mark.parametrize("nms_nodes", [0, 2])
def test_a_graph_needs_one_nms(nms_nodes: int) -> None:
    with pytest.raises(ExportError, match=f"has {nms_nodes} NonMaxSuppression nodes, not one"):
        cut_nms(detector(nms_nodes=nms_nodes))
