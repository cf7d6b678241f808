"""TensorRT engines, built with TensorRT for RTX, which needs no GPU for it. They cannot be loaded here."""

from pathlib import Path

import onnx
import pytest
import tensorrt_rtx as trt
from export_helpers import Exported
from small_networks import chain
from small_networks import embedder as small_embedder

from toonface_contract.errors import ExportError
from toonface_export.embedder_graph import build_embedder
from toonface_export.engine import EngineBuilder, EngineSettings
from toonface_export.engine_inspection import check_built, layer_types
from toonface_export.half import to_half
from toonface_export.half_search import EDGES
from toonface_export.preprocessing import Normalisation

SMALL = build_embedder(small_embedder(), Normalisation(1 / 255, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))).SerializeToString()


@pytest.fixture(scope="module")
def builder() -> EngineBuilder:
    return EngineBuilder(trt)


def test_the_network_computes_in_what_the_graph_says(builder: EngineBuilder, exported: Exported) -> None:
    graph = to_half(onnx.load(exported.path / "face_embedding" / "1" / "model.onnx"), EDGES)
    network = builder.network(graph.SerializeToString())
    [pixels] = [network.get_input(number) for number in range(network.num_inputs)]
    assert (pixels.name, pixels.dtype, tuple(pixels.shape)) == ("faces", trt.DataType.UINT8, (-1, 112, 112, 3))
    assert network.get_output(0).dtype == trt.DataType.FLOAT
    kinds = {network.get_layer(number).name: network.get_layer(number).get_output(0).dtype for number in range(8, 60)}
    assert set(kinds.values()) == {trt.DataType.HALF}
    assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_settings_reach_the_builder(builder: EngineBuilder, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    settings = EngineSettings(batches=(1, 4, 8), workspace_mb=64, version_compatible=True, timing_cache=cache)
    config = builder.config(builder.network(SMALL), settings)
    assert config.num_optimization_profiles == 3
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 64 * 2**20
    assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED


def test_the_timing_cache_is_written_and_read_again(builder: EngineBuilder, tmp_path: Path) -> None:
    settings = EngineSettings(batches=(1, 2), timing_cache=tmp_path / "deep" / "cache")
    assert len(builder.build(SMALL, settings)) > 1000
    assert (tmp_path / "deep" / "cache").read_bytes()
    assert len(builder.build(SMALL, settings)) > 1000


@pytest.mark.parametrize("model", [pytest.param("face_detection", marks=pytest.mark.slow), "face_embedding"])
def test_the_shipped_networks_become_engines_in_half(builder: EngineBuilder, exported: Exported, model: str) -> None:
    graph = to_half(onnx.load(exported.path / model / "1" / "model.onnx"), EDGES)
    assert len(builder.build(graph.SerializeToString(), EngineSettings(batches=(1, 2)))) > 100_000


def test_a_graph_that_tensorrt_does_not_take_is_quoted(builder: EngineBuilder) -> None:
    model = chain("Mul", "Relu")
    model.graph.node[0].op_type = "NoSuchOperation"
    with pytest.raises(ExportError, match=r"(?s)tensorrt_rtx 1.7.* does not take the graph: .*NoSuchOperation"):
        builder.network(model.SerializeToString())


# What the inspectors of TensorRT 10 (at two layouts) and 11 write, by their documentation.
_TEN = """{"Layers": [
    {"Name": "a", "Outputs": [{"Name": "x", "Format/Datatype": "Row major linear FP16 format"}]},
    {"Name": "b", "Outputs": [{"Name": "y", "Format/Datatype": "Half"}]},
    {"Name": "c", "Outputs": [{"Name": "z", "Format/Datatype": "Row major linear FP32"}]}], "Bindings": ["x"]}"""
_ELEVEN = """{"Layers": [{"Name": "a", "Outputs": [{"Name": "x", "Format": "Linear", "DataType": "Float"}]}]}"""


def test_the_types_are_read_from_both_forms_of_the_inspector_s_json() -> None:
    assert layer_types(_TEN) == {"f16": 2, "f32": 1}
    assert layer_types(_ELEVEN) == {"f32": 1}


def test_layers_without_types_are_no_answer() -> None:
    with pytest.raises(ExportError, match="names no types"):
        layer_types('{"Layers": ["a", "b"]}')


def test_an_engine_that_came_out_in_single_precision_is_refused() -> None:
    check_built("MobileFaceNet", "f16", {"f16": 50, "f32": 3})
    check_built("MobileFaceNet", "f32", {"f32": 53})
    with pytest.raises(ExportError, match="in f16 was asked for, and TensorRT built 2 layers in f16, 51 layers in f32"):
        check_built("MobileFaceNet", "f16", {"f16": 2, "f32": 51})
