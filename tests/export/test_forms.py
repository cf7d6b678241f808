"""Precisions: what is made, held against Paddle by the backend that serves it, fallen back from, and refused."""

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from export_helpers import MODELS, Exported
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from small_networks import embedder as small_embedder
from small_networks import swish_layers

from toonface_contract.errors import ExportError
from toonface_contract.names import FACE_SIZE
from toonface_ensemble.decode import decode_image
from toonface_export import forms, networks
from toonface_export.bounds import BOUNDS, missed, tightened
from toonface_export.embedder_graph import build_embedder
from toonface_export.figures import Figure
from toonface_export.forms import Form, Wanted, choose_form
from toonface_export.half import emulate_half, to_half
from toonface_export.half_search import EDGES, half_graph
from toonface_export.judges import EmbedderJudge
from toonface_export.networks import (
    ExportedDetector,
    ExportedEmbedder,
    export_detector,
    export_embedder,
    with_note_of_no_faces,
)
from toonface_export.pictures import face_crops
from toonface_export.pipeline import Pipeline
from toonface_export.preprocessing import Normalisation
from toonface_export.quantise import exact_operations, quantise
from toonface_export.references import Reference
from toonface_export.runners import OpenVinoRunner, onnx_runner, openvino_precisions
from toonface_export.serving import Backend
from toonface_export.triton_config import Computed

PLAIN = Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CPU = Wanted("cpu", "openvino", "auto", False, BOUNDS)
GPU = Wanted("gpu", "tensorrt", "f16", False, BOUNDS)


def _reference(graph: onnx.ModelProto, faces: NDArray[np.uint8]) -> Reference:
    """The graph's own answers in F32, as if they were Paddle's."""
    names = tuple(f"face {number}" for number in range(len(faces)))
    return Reference(names, faces, onnx_runner(graph)(faces), EmbedderJudge(0.5))


def _choose(exported: Exported, wanted: Wanted, steps: Callable[[str], None] = lambda step: None) -> Form:
    return choose_form("MobileFaceNet", exported.embedder.form.graph, exported.embedder.reference, wanted, steps)


def _overflowing() -> onnx.ModelProto:
    """An embedder in which one node's answers are too large for FP16, and the next one makes them small again."""
    network = small_embedder()
    network.graph.node[0].output[0] = "means"
    for name, value in (("large", 3e5), ("small", 1e-5)):
        network.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    network.graph.node.extend(
        [
            helper.make_node("Relu", ["means"], ["positive"]),
            helper.make_node("Mul", ["positive", "large"], ["grown"]),
            helper.make_node("Sqrt", ["grown"], ["root"]),
            helper.make_node("Mul", ["root", "small"], ["features_out"]),
        ]
    )
    return build_embedder(network, Normalisation(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))


def test_the_node_that_leaves_half_s_range_is_found_and_kept() -> None:
    graph = _overflowing()
    reference = _reference(graph, face_crops(4))
    half = half_graph(graph, reference, BOUNDS["f16"])
    kinds = {node.name: node.op_type for node in half.graph.graph.node}
    # The product is too large for FP16, and so is what the root reads; all else is in FP16.
    assert sorted(kinds[name] for name in half.kept) == ["Mul", "Sqrt"]
    kept = emulate_half(half.graph)
    whole = emulate_half(to_half(graph, EDGES))
    for model, passes in ((kept, True), (whole, False)):
        figures = reference.figures(onnx_runner(model)(reference.pictures))
        assert (not missed(figures, BOUNDS["f16"])) == passes


def test_the_shipped_embedder_goes_into_half_whole(exported: Exported) -> None:
    form = _choose(exported, GPU)
    assert form.precision == "f16"
    assert form.details["kept_in_f32"] == []
    weights = [tensor for tensor in form.graph.graph.initializer if len(tensor.dims) == 4]
    assert {tensor.data_type for tensor in weights if tensor.dims[1] != 3} == {TensorProto.FLOAT16}
    assert form.parity["f16"]["cosine_distance"].value < 1e-4


def test_left_to_itself_openvino_has_shown_every_precision_that_the_server_may_choose(exported: Exported) -> None:
    form = exported.embedder.form
    if "BF16" in openvino_precisions():
        assert (form.precision, set(form.parity)) == ("auto", {"f32", "bf16"})
        assert form.details["executed"]["bf16"].get("bf16", 0) > 40
    else:
        assert (form.precision, set(form.parity)) == ("f32", {"f32"})
    assert form.details["executed"]["f32"].get("f32", 0) > 40


def test_a_processor_without_bf16_is_told_and_f32_is_served(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "openvino_precisions", lambda: ("FP32", "INT8"))
    form = _choose(exported, CPU)
    assert form.precision == "f32"
    assert form.notes == (
        "MobileFaceNet is served in f32, not in bf16: this processor cannot compute in bf16 "
        "(OpenVINO names FP32, INT8)",
    )
    with pytest.raises(ExportError, match="cannot compute in bf16 .*; the model was not written"):
        _choose(exported, dataclasses.replace(CPU, precision="bf16"))


def _mixing(graph: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """The graph with what one row answers moved away from the mean of its batch: one picture alone stays as it is."""
    mixed = onnx.ModelProto()
    mixed.CopyFrom(graph)
    for node in mixed.graph.node:
        node.output[:] = ["own_rows" if name == output else name for name in node.output]
        node.input[:] = ["own_rows" if name == output else name for name in node.input]
    mixed.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["own_rows"], ["mean_row"], axes=[0], keepdims=1, name="mean_row"),
            helper.make_node("Sub", ["own_rows", "mean_row"], ["apart"], name="apart"),
            helper.make_node("Add", ["own_rows", "apart"], [output], name="mixed_rows"),
        ]
    )
    return mixed


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("kind", "output"), [("detector", "scores"), ("embedder", "embedding")])
def test_rows_that_mix_are_refused(exported: Exported, backend: Backend, kind: str, output: str) -> None:
    network: ExportedDetector | ExportedEmbedder = getattr(exported, kind)
    graph, reference = _mixing(network.form.graph, output), network.reference
    alone = Wanted("cpu", backend, "f32", False, BOUNDS)
    choose_form("mixing", graph, reference, alone, lambda step: None)
    together = dataclasses.replace(alone, most_together=4)
    count = min(4, len(reference.names))
    with pytest.raises(ExportError, match=f"parity with Paddle failed in f32 in a batch of {count}: .*not written"):
        choose_form("mixing", graph, reference, together, lambda step: None)
    choose_form("not mixing", network.form.graph, reference, together, lambda step: None)
    with pytest.raises(ExportError, match="in a batch of 2: "):  # the picture and its negative
        choose_form("mixing", graph, reference.only([0]), together, lambda step: None)


@pytest.mark.parametrize("export", [export_detector, export_embedder])
def test_as_many_pictures_are_computed_together_as_a_request_may_hold(
    demo_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, export: Callable[..., object]
) -> None:
    asked: list[int] = []

    def choose(name: str, graph: onnx.ModelProto, reference: Reference, wanted: Wanted, progress: object) -> Form:
        asked.append(wanted.most_together)
        raise ExportError("enough")

    monkeypatch.setattr(networks, "choose_form", choose)
    serving = demo_pipeline.serving.changed(detection_batch=3, embedding_batch=5)
    modules = demo_pipeline.modules
    with pytest.raises(ExportError, match="enough"):
        export(modules.detection if export is export_detector else modules.recognition, serving, lambda step: None)
    assert asked == [3 if export is export_detector else 5]


def _judged(monkeypatch: pytest.MonkeyPatch, *passes: str) -> list[str]:
    """Fake the comparison: these precisions pass. Returns a list of what is tried."""
    tried: list[str] = []

    def form(attempt: object, precision: Computed) -> tuple[Form | None, str]:
        tried.append(precision)
        if precision not in passes:
            return None, f"{precision} is too far off"
        details = {"executed": {precision: {precision: 1}}}
        return Form(precision, {}, onnx.ModelProto(), {precision: {}}, details), ""

    monkeypatch.setattr(forms._Attempt, "form", form)
    return tried


def test_left_to_itself_bf16_that_misses_its_bound_is_not_for_the_server_to_choose(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = _judged(monkeypatch, "f32")
    form = _choose(exported, CPU)
    assert tried == ["f32", "bf16"]
    assert (form.precision, form.details["executed"]) == ("f32", {"f32": {"f32": 1}})
    assert form.notes == ("MobileFaceNet is served in f32, not in bf16: bf16 is too far off",)


@pytest.mark.parametrize(
    ("passing", "tried"),
    [(("bf16", "f32"), ["int8", "bf16"]), (("f32",), ["int8", "bf16", "f32"])],
)
def test_int8_falls_back_to_bf16_and_then_to_f32(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, passing: tuple[str, ...], tried: list[str]
) -> None:
    asked = _judged(monkeypatch, *passing)
    form = _choose(exported, dataclasses.replace(CPU, precision="int8", fall_back=True))
    assert asked == tried
    assert form.precision == tried[-1]
    assert form.notes == tuple(
        f"MobileFaceNet is not served in {precision}: {precision} is too far off" for precision in tried[:-1]
    )


def test_a_chain_of_which_nothing_passes_is_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _judged(monkeypatch)
    with pytest.raises(ExportError, match="MobileFaceNet: f32 is too far off; the model was not written"):
        _choose(exported, dataclasses.replace(CPU, precision="int8", fall_back=True))
    assert tried == ["int8", "bf16", "f32"]


def test_a_precision_that_misses_its_bound_is_refused_or_fallen_back_from(exported: Exported) -> None:
    strict = tightened(BOUNDS, ["f16.cosine_distance=0"])
    wanted = dataclasses.replace(GPU, bounds=strict)
    with pytest.raises(ExportError, match=r"failed in f16: cosine_distance is .*, worst in drawn face \d+"):
        _choose(exported, wanted)
    form = _choose(exported, dataclasses.replace(wanted, fall_back=True))
    assert form.precision == "f32"
    assert form.notes[0].startswith("MobileFaceNet is not served in f16: parity with Paddle failed")


def test_there_is_nothing_to_fall_back_to_from_f32(exported: Exported) -> None:
    strict = tightened(BOUNDS, ["f32.cosine_distance=0"])
    wanted = Wanted("cpu", "onnxruntime", "f32", True, strict)
    with pytest.raises(ExportError, match="parity with Paddle failed in f32"):
        _choose(exported, wanted)


def test_int8_without_pictures_is_refused(exported: Exported) -> None:
    with pytest.raises(ExportError, match="int8 needs calibration pictures"):
        _choose(exported, dataclasses.replace(CPU, precision="int8"))


def test_quantising_leaves_pixels_and_norm_exact(exported: Exported) -> None:
    import openvino

    network = openvino.Core().read_model(exported.embedder.form.graph.SerializeToString())
    kinds = {operation.get_friendly_name(): operation.get_type_name() for operation in network.get_ordered_ops()}
    exact = [kinds[name] for name in exact_operations(network)]
    convolutions = [kind for kind in kinds.values() if "Convolution" in kind]
    assert sum("Convolution" in kind for kind in exact) == 2
    assert len(convolutions) > 40
    assert {"Convert", "ReduceL2", "Divide"} <= set(exact)


def test_the_shipped_embedder_in_int8(exported: Exported) -> None:
    # Quantised for the demo's characters, and compared on other pictures of them.
    files = sorted((MODELS.parent / "demo" / "gallery").glob("*.jpg"))
    faces = np.stack([cv2.resize(decode_image(file.read_bytes()), (FACE_SIZE, FACE_SIZE)) for file in files])
    graph = exported.embedder.form.graph
    steps: list[str] = []
    wanted = dataclasses.replace(CPU, precision="int8", calibration=faces[::2][:32])
    form = choose_form("MobileFaceNet", graph, _reference(graph, faces[1::2]), wanted, steps.append)
    assert form.precision == "int8"
    assert set(form.files) == {"model.xml", "model.bin"}
    assert len(form.files["model.bin"]) < 0.5 * exported.embedder.form.graph.ByteSize()
    executed = form.details["executed"]["int8"]
    assert executed.get("u8", 0) + executed.get("i8", 0) > 20
    assert form.details["calibration_pictures"] == 32
    assert any("quantise on 32 pictures" in step for step in steps)


def test_of_very_many_pictures_evenly_spaced_ones_are_taken_statistics_over(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[NDArray[np.uint8]] = []

    def quantise_few(graph: onnx.ModelProto, pictures: NDArray[np.uint8]) -> dict[str, bytes]:
        taken.append(pictures)
        return quantise(graph, pictures[:4])

    monkeypatch.setattr(forms, "quantise", quantise_few)
    steps: list[str] = []
    numbered = np.repeat(face_crops(4), 225, axis=0)
    numbered[:, 0, 0, 0], numbered[:, 0, 0, 1] = np.divmod(np.arange(900), 256)
    wanted = dataclasses.replace(CPU, precision="int8", calibration=numbered, bounds={**BOUNDS, "int8": {}})
    form = _choose(exported, wanted, steps.append)
    [pictures] = taken
    np.testing.assert_array_equal(pictures, numbered[::3])
    assert form.details["calibration_pictures"] == 300
    assert any("quantise on 300 pictures" in step for step in steps)


def test_int8_leaves_an_activation_of_two_operations_whole(tmp_path: Path) -> None:
    """What is quantised in the middle of `x * sigmoid(x)` is computed apart from the convolution, in floating point."""
    import openvino

    pictures = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), np.uint8)
    for name, content in quantise(swish_layers(4), pictures).items():
        (tmp_path / name).write_bytes(content)
    compiled = openvino.Core().compile_model(tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    executed = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ordered_ops()]
    assert executed.count("Convolution") == 4
    assert not {"Eltwise", "FakeQuantize"} & set(executed)


# In a process of its own, on one processor, so with one thread.
_QUANTISED_ALONE = """
import os, pickle, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import onnx
from toonface_export.pictures import face_crops
from toonface_export.quantise import quantise
files = quantise(onnx.load(sys.argv[1]), face_crops(4))
with open(sys.argv[2], "wb") as output:
    pickle.dump(files, output)
"""


@pytest.mark.slow
def test_int8_comes_out_the_same_again(exported: Exported, tmp_path: Path) -> None:
    graph = exported.embedder.form.graph
    once, again = (quantise(graph, face_crops(4)) for _ in range(2))
    assert once == again
    onnx.save(graph, tmp_path / "model.onnx")
    command = [sys.executable, "-c", _QUANTISED_ALONE, str(tmp_path / "model.onnx"), str(tmp_path / "files")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert pickle.loads((tmp_path / "files").read_bytes()) == once  # noqa: S301


def test_openvino_takes_any_number_of_pictures(exported: Exported) -> None:
    import openvino

    model = openvino.Core().read_model(exported.embedder.form.graph.SerializeToString())
    answers = OpenVinoRunner(model, "f32")(face_crops(3))
    expected = exported.embedder.reference.answers["embedding"][:3]
    np.testing.assert_allclose(answers["embedding"], expected, atol=1e-5)


def test_pictures_without_a_face_are_told(exported: Exported) -> None:
    form = exported.detector.form
    assert with_note_of_no_faces("BlazeFace", form) is form
    nothing = {"detections": Figure(0.0, "a.jpg")}
    told = with_note_of_no_faces("BlazeFace", dataclasses.replace(form, parity={"f32": nothing}))
    assert told.notes[-1].startswith("BlazeFace finds no face in the pictures it was compared on")
