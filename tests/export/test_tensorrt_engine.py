"""TensorRT engines, built with TensorRT for RTX, which needs no GPU for it. They cannot be loaded here."""

from dataclasses import dataclass
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
    return EngineBuilder(trt, lambda text: None)


def test_the_network_computes_in_what_the_graph_says(builder: EngineBuilder, exported: Exported) -> None:
    graph = to_half(onnx.load(exported.path / "face_embedding" / "1" / "model.onnx"), EDGES)
    network = builder.network(graph.SerializeToString())
    [pixels] = [network.get_input(number) for number in range(network.num_inputs)]
    assert (pixels.name, pixels.dtype, tuple(pixels.shape)) == ("faces", trt.DataType.UINT8, (-1, 112, 112, 3))
    assert network.get_output(0).dtype == trt.DataType.FLOAT
    kinds = {network.get_layer(number).name: network.get_layer(number).get_output(0).dtype for number in range(8, 60)}
    assert set(kinds.values()) == {trt.DataType.HALF}
    assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_settings_reach_the_builder(builder: EngineBuilder) -> None:
    settings = EngineSettings(batches=(1, 4, 8), workspace_mb=64, version_compatible=True)
    config = builder.config(builder.network(SMALL), settings)
    assert config.num_optimization_profiles == 3
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 64 * 2**20
    assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert not config.get_flag(trt.BuilderFlag.TF32)


@dataclass(frozen=True)
class _Cache:
    content: bytes

    def serialize(self) -> bytes:
        return self.content


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is read as a timing cache. TensorRT for RTX takes all and heeds none: here it takes its own, as TensorRT."""
    read: list[bytes] = []

    def create(config: trt.IBuilderConfig, content: bytes) -> _Cache | None:
        read.append(content)
        return None if content == b"damaged" else _Cache(content)

    def take(config: trt.IBuilderConfig, cache: _Cache, ignore_mismatch: bool) -> bool:
        return ignore_mismatch or cache.content in (b"", b"measured")

    monkeypatch.setattr(trt.IBuilderConfig, "create_timing_cache", create)
    monkeypatch.setattr(trt.IBuilderConfig, "set_timing_cache", take)
    monkeypatch.setattr(trt.IBuilderConfig, "get_timing_cache", lambda config: _Cache(b"measured"))
    return read


def test_the_timing_cache_is_written_and_read_again(
    builder: EngineBuilder, caches: list[bytes], tmp_path: Path
) -> None:
    settings = EngineSettings(batches=(1, 2), timing_cache=tmp_path / "deep" / "cache")
    for _ in range(2):
        assert len(builder.build(SMALL, settings)) > 1000
    assert caches == [b"", b"measured"]
    assert (tmp_path / "deep" / "cache").read_bytes() == b"measured"
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "cache"]


@pytest.mark.parametrize("content", [b"of another GPU", b"damaged"])
@pytest.mark.usefixtures("caches")
def test_a_timing_cache_that_is_refused_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "cache"
    cache.write_bytes(content)
    told: list[str] = []
    engine = EngineBuilder(trt, told.append).build(SMALL, EngineSettings(batches=(1,), timing_cache=cache))
    assert len(engine) > 1000
    assert cache.read_bytes() == content
    [note] = told
    assert f"refuses the timing cache {cache}, which is damaged, or of another version or GPU" in note


@pytest.mark.usefixtures("caches")
def test_a_timing_cache_that_cannot_be_written_whole_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", refuse)
    cache = tmp_path / "cache"
    cache.write_bytes(b"")
    told: list[str] = []
    assert EngineBuilder(trt, told.append).build(SMALL, EngineSettings(batches=(1,), timing_cache=cache))
    assert told == [f"note: the timing cache {cache} cannot be written: no room"]
    assert cache.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [cache]


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
