"""The parts of `toonface bench export`: engines that really compute, ratios, and the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from toonface_benchmarks.engines import Engine, EngineSpec, Kind, Turn
from toonface_benchmarks.export import Row
from toonface_benchmarks.export_forms import common_graph, half_form
from toonface_benchmarks.export_table import head, lines
from toonface_benchmarks.random_models import write_random_model
from toonface_benchmarks.speeds import BATCHES, Speed, speed_of, take_turns
from toonface_contract.errors import ToonfaceError
from toonface_export.bounds import BOUNDS, scaled
from toonface_export.evidence import Evidence
from toonface_export.families import EMBEDDERS
from toonface_export.networks import export_detector
from toonface_export.paddle_model import read_paddle_model
from toonface_export.paddle_process import paddle_outputs
from toonface_export.pictures import face_crops, face_scenes
from toonface_export.pipeline import Module
from toonface_export.preprocessing import embedder_normalisation
from toonface_export.serving import Serving

MODELS = Path(__file__).resolve().parents[2] / "models"


def _graph(folder: Path) -> Path:
    """A network that doubles four numbers."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    inputs, outputs = (value(name, TensorProto.FLOAT, ["B", 4]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "small", [inputs], [outputs])
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _spec(kind: Kind, file: Path, row: np.ndarray) -> EngineSpec:
    return EngineSpec(kind, file, "f32", 1, {"x": row})


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_an_engine_computes_when_it_is_told_to(tmp_path: Path, kind: Kind) -> None:
    with Engine(_spec(kind, _graph(tmp_path), np.ones(4, np.float32))) as engine:
        turn = engine.turn(batch=3, seconds=0.01)
    assert turn.seconds > 0
    assert turn.cpu_seconds > 0


def test_paddle_computes_beside_another_engine(tmp_path: Path) -> None:
    face = np.zeros((3, 112, 112), np.float32)
    specs = [
        _spec("paddle", MODELS / "MobileFaceNet" / "inference.json", face),
        _spec("onnxruntime", _graph(tmp_path), np.ones(4, np.float32)),
    ]
    told: list[str] = []
    paddle, other = take_turns(specs, rounds=1, seconds=0, tell=told.append)
    assert set(paddle.ratio.values()) == {1.0}
    assert min(other.ratio.values()) > 1  # adding four numbers is quicker than a network
    assert told == ["round 1 of 1"]


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino", "paddle"])
def test_an_engine_that_cannot_start_says_so(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(ToonfaceError, match=rf"{kind} failed on {tmp_path}/none.onnx"):
        Engine(_spec(kind, tmp_path / "none.onnx", np.ones(4, np.float32)))


def test_an_engine_that_fails_says_so(tmp_path: Path) -> None:
    with Engine(_spec("onnxruntime", _graph(tmp_path), np.ones(5, np.float32))) as engine:
        with pytest.raises(ToonfaceError, match="onnxruntime failed on"):
            engine.turn(batch=1, seconds=0)


def test_ratios_are_of_the_same_round() -> None:
    paddle = {1: [Turn(0.2, 0.2), Turn(0.8, 0.8), Turn(0.4, 0.4)], 8: [Turn(1.6, 0.4)] * 3}
    ours = {1: [Turn(0.1, 0.1), Turn(0.2, 0.1), Turn(0.4, 0.1)], 8: [Turn(0.8, 0.1)] * 3}
    speed = speed_of(ours, paddle)
    assert speed.milliseconds == pytest.approx({1: 200, 8: 800})
    assert speed.ratio == pytest.approx({1: 2, 8: 2})
    assert speed.ratio_range[1] == pytest.approx((1, 4))
    assert speed.throughput == pytest.approx(10)
    assert (speed.cpu_milliseconds, speed.cpu_ratio) == pytest.approx((100, 4))


def test_the_table_is_markdown() -> None:
    speed = Speed(
        milliseconds=dict.fromkeys(BATCHES, 10.0),
        ratio=dict.fromkeys(BATCHES, 2.0),
        ratio_range=dict.fromkeys(BATCHES, (1.5, 2.5)),
        cpu_milliseconds=5.0,
        cpu_ratio=3.0,
        cpu_ratio_range=(2.9, 3.1),
    )
    rows = [
        Row("MobileFaceNet", True, "paddle", "f32", 4.2, None, None, {}, (), speed),
        Row("MobileFaceNet", False, "openvino", "int8", 2.2, 103, 12.0, {"cosine_distance": 0.02}, ("over",), speed),
    ]
    rows.append(Row("MobileFaceNet", True, "gpu", "f16", 2.1, 105, 9.0, {"cosine_distance": 3e-5}, (), None))
    (names, rule), (paddle, ours, half) = head().splitlines(), lines(rows).splitlines()
    assert names.count("|") == rule.count("|") == paddle.count("|") == ours.count("|") == half.count("|")
    assert half == f"| MobileFaceNet | gpu f16 | 2.1 | 105 | 9 | 1-cos 3e-05 | {' | '.join([''] * 7)} |"
    assert [row.as_dict()["throughput"] for row in rows[1:]] == [800.0, None]
    assert "paddle f32 | 4.2 |  |  |" in paddle
    assert "MobileFaceNet, random | openvino int8 | 2.2 | 103 | 12 | 1-cos 0.02 **over its bound**" in ours
    assert "2.00 (1.50 to 2.50)" in ours
    assert ours.endswith("| 5.0 | 3.00 (2.90 to 3.10) |")


def test_the_form_for_a_gpu_is_compared_with_its_rounding_emulated() -> None:
    exported = common_graph("MobileFaceNet", MODELS / "MobileFaceNet")
    form = half_form(exported)
    assert sum(map(len, form.files.values())) < 0.6 * exported.form.graph.ByteSize()
    assert form.details["kept_in_f32"] == []
    assert 1e-7 < form.parity["f16"]["cosine_distance"].value < BOUNDS["f16"]["cosine_distance"]


def test_an_unknown_model_is_a_usage_error() -> None:
    command = [str(Path(sys.executable).with_name("toonface")), "bench", "export", "--model", "YOLO"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "model 'YOLO' is not known; there are PP-YOLOE_plus-S_face" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PP-YOLOE_plus-S_face", "PicoDet_LCNet_x2_5_face", "BlazeFace"])
def test_few_anchors_of_a_random_detector_are_candidates_and_fewer_faces(tmp_path: Path, name: str) -> None:
    write_random_model(name, tmp_path / name)
    serving = Serving(backend="onnxruntime", canvas=(320, 320), pyramid_levels=1)
    module = Module(model_name=name, model_dir=tmp_path / name)
    evidence = Evidence(bounds={**BOUNDS, "f32": scaled(BOUNDS["f32"], 3)})
    form = export_detector(module, serving, lambda step: None, evidence).form
    session = onnxruntime.InferenceSession(form.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    [(_, height, width, _)] = [tensor.shape for tensor in session.get_inputs()]
    _, scores = session.run(None, {"detector_input": face_scenes(4, height, width)})
    assert 0.002 < np.mean(scores > 0.01) < 0.05
    assert 0 < np.mean(scores > 0.5) < 0.01


@pytest.mark.slow
def test_a_random_model_is_alive_and_always_the_same(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        write_random_model("MobileFaceNet", tmp_path / folder)
    one, other = (_random_features(tmp_path / folder) for folder in ("one", "other"))
    assert one == pytest.approx(other, abs=1e-5)
    assert (one @ one.T - np.eye(4)).max() < 0.99


def _random_features(folder: Path) -> NDArray[np.float32]:
    model = read_paddle_model(folder, known=EMBEDDERS)
    [[features]] = paddle_outputs(model, [{"x": embedder_normalisation(model).apply(face_crops(4))}])
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)
