"""Programs as PaddleX writes them by itself: Paddle 2's form, the operator prior_box, what Paddle 3.3 does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorrt_rtx
from onnx import TensorProto

from toonface_contract.errors import ExportError
from toonface_export.bounds import BOUNDS, scaled
from toonface_export.engine import EngineBuilder, EngineSettings
from toonface_export.evidence import Evidence
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.forms import Wanted, choose_form
from toonface_export.networks import ExportedDetector, ExportedEmbedder, export_detector, export_embedder
from toonface_export.nms import read_nms
from toonface_export.paddle_model import LEGACY_PROGRAM, PARAMETERS, PROGRAM, read_paddle_model, sha256_of
from toonface_export.paddle_process import paddle_detections
from toonface_export.paddle_program import attributes
from toonface_export.pictures import face_scenes
from toonface_export.pipeline import Module
from toonface_export.prior_boxes import PriorBoxes, compute_prior_boxes, read_prior_boxes
from toonface_export.serving import Serving

_WRITER = Path(__file__).with_name("write_models.py")


def _write(folder: Path, names: tuple[str, ...], *, legacy: bool) -> Path:
    environment = {**os.environ, "FLAGS_enable_pir_api": "0" if legacy else "1"}
    command = [sys.executable, str(_WRITER), str(folder), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


F32 = Serving(backend="onnxruntime")


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random models with programs of Paddle 2's form."""
    return _write(tmp_path_factory.mktemp("legacy"), ("BlazeFace", "MobileFaceNet"), legacy=True)


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of the same parameters with a program of Paddle 3's form."""
    return _write(tmp_path_factory.mktemp("modern"), ("BlazeFace",), legacy=False)


def _blazeface(folder: Path) -> ExportedDetector:
    serving = Serving(backend="onnxruntime", canvas=(128, 192), pyramid_levels=2)
    return export_detector(Module(model_name="BlazeFace", model_dir=folder), serving, lambda step: None)


def _detections(exported: ExportedDetector) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(exported.form.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[np.ndarray] = session.run(None, {"detector_input": face_scenes(2, 128, 192)})
    return answers


def test_a_detector_is_the_same_in_both_forms_with_its_own_anchors(legacy: Path, modern: Path) -> None:
    assert b"prior_box" in (legacy / "BlazeFace" / LEGACY_PROGRAM).read_bytes()
    assert "prior_box" in (modern / "BlazeFace" / PROGRAM).read_text()
    old, new = _blazeface(legacy / "BlazeFace"), _blazeface(modern / "BlazeFace")
    assert old.nms == new.nms
    assert old.form.parity["f32"]["detections"].value > 0
    for one, other in zip(_detections(old), _detections(new), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert old.source.sha256.keys() == {LEGACY_PROGRAM, PARAMETERS, "inference.yml"}
    assert old.source.sha256[LEGACY_PROGRAM] == sha256_of(legacy / "BlazeFace" / LEGACY_PROGRAM)


def test_an_embedder_of_paddle_2_is_held_to_parity(legacy: Path) -> None:
    folder = legacy / "MobileFaceNet"
    exported = export_embedder(Module(model_name="MobileFaceNet", model_dir=folder), F32, lambda step: None)
    assert exported.form.parity["f32"]["cosine_distance"].value < 1e-5
    assert exported.dimension == 128
    translation = exported.source.program.parent
    assert translation != folder and translation.is_dir()
    del exported
    assert not translation.exists()


def test_what_is_wrong_with_a_program_of_paddle_2_is_told_of_the_user_s_file(legacy: Path) -> None:
    folder = legacy / "MobileFaceNet"
    model = read_paddle_model(folder, known=EMBEDDERS)
    assert model.program.parent != folder
    with pytest.raises(ExportError, match=rf"^{folder / LEGACY_PROGRAM} has 0 multiclass_nms3 operations, not one"):
        read_nms(model)
    with pytest.raises(ExportError, match=rf"^{folder / LEGACY_PROGRAM} has no multiclass_nms3; export the detector"):
        paddle_detections(model, [{"x": np.zeros((1, 3, 112, 112), np.float32)}])


def test_of_two_programs_the_newer_form_is_taken(legacy: Path, embedder_folder: Path) -> None:
    (embedder_folder / LEGACY_PROGRAM).write_bytes(b"not looked at")
    assert read_paddle_model(embedder_folder, known=EMBEDDERS).program == embedder_folder / PROGRAM


def test_a_damaged_program_of_paddle_2_is_refused(legacy: Path, embedder_folder: Path) -> None:
    (embedder_folder / PROGRAM).unlink()
    whole = (legacy / "MobileFaceNet" / LEGACY_PROGRAM).read_bytes()
    for content in (b"no program", whole[: len(whole) // 2]):
        (embedder_folder / LEGACY_PROGRAM).write_bytes(content)
        message = (
            rf"^{embedder_folder / LEGACY_PROGRAM}, with {PARAMETERS} beside it, cannot be read; known are the formats "
            rf"1 to 4 .*, and inference.pdmodel of Paddle 2 and 3. Paddle failed on .* \(translate, exit code"
        )
        with pytest.raises(ExportError, match=message):
            read_paddle_model(embedder_folder, known=EMBEDDERS)


def test_parameters_of_paddle_2_that_were_cut_short_are_refused(legacy: Path, embedder_folder: Path) -> None:
    (embedder_folder / PROGRAM).unlink()
    content = (legacy / "MobileFaceNet" / LEGACY_PROGRAM).read_bytes()
    (embedder_folder / LEGACY_PROGRAM).write_bytes(content)
    for keep in (-100, 2_000_000):
        content = (legacy / "MobileFaceNet" / PARAMETERS).read_bytes()[:keep]
        (embedder_folder / PARAMETERS).write_bytes(content)
        with pytest.raises(ExportError, match=r"damaged|half-written"):
            read_paddle_model(embedder_folder, known=EMBEDDERS)


def test_the_double_precision_of_paddle_3_3_is_taken_back(detector_folder: Path) -> None:
    shipped = (detector_folder / PROGRAM).read_text()
    program = json.loads(shipped)
    program["base_code"]["version"] = 4
    doubles = [{"#": "0.a_f64", "D": 2.0}, {"#": "0.a_f64", "D": 0.1}]
    (picture,) = (op for op in program["program"]["regions"][0]["blocks"][0]["ops"] if _is_input(op, "image"))
    picture["A"] += [
        {"N": "scale", "AT": {"#": "0.a_array", "D": doubles}},
        {"N": "alone", "AT": {"#": "0.a_f64", "D": 0.1}},
    ]
    (detector_folder / PROGRAM).write_text(json.dumps(program))
    model = read_paddle_model(detector_folder, known=DETECTORS)
    assert model.program != detector_folder / PROGRAM
    assert model.own_program == detector_folder / PROGRAM
    (readable,) = (
        op
        for op in json.loads(model.program.read_text())["program"]["regions"][0]["blocks"][0]["ops"]
        if _is_input(op, "image")
    )
    for element in doubles:
        element["#"] = "0.a_f32"
    assert readable == picture
    assert model.sha256[PROGRAM] == sha256_of(detector_folder / PROGRAM)
    assert model.parameters.parent == model.program.parent
    assert model.parameters.samefile(detector_folder / PARAMETERS)


def _is_input(operation: dict[str, Any], name: str) -> bool:
    return operation["#"] == "1.data" and attributes(operation)["name"] == name


def test_prior_boxes_are_those_of_paddle() -> None:
    import paddle

    priors = PriorBoxes("anchors", (16.0, 24.0), (8.0, 16.0), 0.5, (0.1, 0.1, 0.2, 0.2))
    image = np.zeros((2, 3, 70, 100), np.float32)
    features = paddle.zeros([2, 1, 5, 13])
    expected = paddle.vision.ops.prior_box(
        features, paddle.to_tensor(image), list(priors.sizes), variance=list(priors.variances), steps=list(priors.steps)
    )
    value = onnx.helper.make_tensor_value_info
    inputs = [value("image", onnx.TensorProto.FLOAT, ["B", 3, "H", "W"])]
    inputs += [value(name, onnx.TensorProto.FLOAT, [None, None, 2, 4]) for name in priors.outputs]
    outputs = [value(name, onnx.TensorProto.FLOAT, [None, None, 2, 4]) for name in ("boxes", "variances")]
    nodes = [
        onnx.helper.make_node("Identity", [name], [output.name])
        for name, output in zip(priors.outputs, outputs, strict=True)
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "small", inputs, outputs),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    computed = compute_prior_boxes(model, priors)
    onnx.checker.check_model(computed)
    session = onnxruntime.InferenceSession(computed.SerializeToString(), providers=["CPUExecutionProvider"])
    for one, other in zip(session.run(None, {"image": image}), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "changed",
    [{"aspect_ratios": [1.0, 2.0]}, {"max_sizes": [32.0]}, {"clip": True}, {"step_w": 0.0}, {"step_h": 7.5}],
)
def test_anchors_that_are_no_plain_squares_are_refused(changed: dict[str, object]) -> None:
    plain = {
        "aspect_ratios": [1.0],
        "max_sizes": [],
        "clip": False,
        "step_w": 8.0,
        "step_h": 8.0,
        "min_sizes": [16.0],
        "offset": 0.5,
        "variances": [0.1, 0.1, 0.2, 0.2],
    }
    assert read_prior_boxes("anchors", plain).sizes == (16.0,)
    with pytest.raises(ExportError, match="known are squares of one size each, unclipped, with whole steps"):
        read_prior_boxes("anchors", {**plain, **changed})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["legacy", "modern"])
@pytest.mark.parametrize("name", [*DETECTORS, *EMBEDDERS])
def test_every_model_in_either_form(tmp_path: Path, name: str, form: str) -> None:
    _write(tmp_path, (name,), legacy=form == "legacy")
    module = Module(model_name=name, model_dir=tmp_path / name)
    _export(module)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DETECTORS, *EMBEDDERS])
def test_every_model_in_half_and_as_an_engine(tmp_path: Path, name: str) -> None:
    """Rounding is emulated, and the engine is built by TensorRT for RTX, which needs no GPU for it."""
    _write(tmp_path, (name,), legacy=False)
    exported = _export(Module(model_name=name, model_dir=tmp_path / name))
    wanted = Wanted("gpu", "tensorrt", "f16", False, BOUNDS, most_together=8)
    form = choose_form(name, exported.form.graph, exported.reference, wanted, lambda step: None)
    assert form.precision == "f16"
    kinds = [tensor.data_type for tensor in form.graph.graph.initializer]
    assert kinds.count(TensorProto.FLOAT16) > 0, form.details["kept_in_f32"]
    builder = EngineBuilder(tensorrt_rtx, lambda text: None)
    assert len(builder.build(form.graph.SerializeToString(), EngineSettings(batches=(1, 8)))) > 100_000


def _export(module: Module) -> ExportedDetector | ExportedEmbedder:
    # Random networks multiply what rounding leaves: PicoDet's boxes come out 0.06 px apart.
    evidence = Evidence(bounds={**BOUNDS, "f32": scaled(BOUNDS["f32"], 3)})
    if module.model_name in DETECTORS:
        return export_detector(module, F32, lambda step: None, evidence)
    return export_embedder(module, F32, lambda step: None, evidence)
