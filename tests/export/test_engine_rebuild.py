"""`toonface export engine`: new engines take their place together, or nothing changes.

TensorRT for RTX stands in for TensorRT, as it builds without a GPU. What it builds cannot be loaded here: what would be
read from an engine, and its answers, are given.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import tensorrt_rtx as trt
from click.testing import CliRunner
from export_helpers import Exported
from numpy.typing import NDArray
from small_networks import chain
from small_networks import embedder as small_embedder

from toonface_contract.errors import ConfigError, ExportError
from toonface_contract.names import FACE_DETECTION, FACE_EMBEDDING, PREPROCESS
from toonface_export import engines, gpu
from toonface_export.bounds import BOUNDS
from toonface_export.cli_inspect import inspect
from toonface_export.digests import MANIFEST, MODEL_MANIFEST, read_json, write_json
from toonface_export.embedder_graph import build_embedder
from toonface_export.engines import REFERENCE, SOURCE_GRAPH, rebuild
from toonface_export.figures import Answers
from toonface_export.gpu import Gpu, require_gpu
from toonface_export.judges import EmbedderJudge
from toonface_export.paddle_model import sha256_of
from toonface_export.preprocessing import Normalisation
from toonface_export.references import Reference
from toonface_export.repository import write_repository
from toonface_export.triton_config import ENGINE_FILENAME

L4 = Gpu("NVIDIA L4", "8.9")
MODELS = {"detector": FACE_DETECTION, "recogniser": FACE_EMBEDDING}
SMALL = build_embedder(small_embedder(), Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))).SerializeToString()


@pytest.fixture(scope="module")
def without_engines(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose engines have not been built yet, with graphs that are quickly built. Tests only read it."""
    path = tmp_path_factory.mktemp("without_engines") / "repository"
    pipeline = exported.pipeline.with_serving(target="gpu", precision="f32")
    detector = replace(exported.detector, form=replace(exported.detector.form, precision="f32"))
    embedder = replace(exported.embedder, form=replace(exported.embedder.form, precision="f32"))
    write_repository(pipeline, detector, embedder, path, lambda step: None, engine_later=True)
    for model in MODELS.values():
        (path / model / SOURCE_GRAPH).write_bytes(SMALL)
    return path


@pytest.fixture
def repository(without_engines: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(without_engines, tmp_path / "repository"))


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """As if there were a GPU, on which engines answer as Paddle does; or, once called, with all numbers multiplied."""
    factors = [1.0]

    def answers(engine: bytes, reference: Reference, profile: int, batch: int) -> dict[str, NDArray[np.float32]]:
        return {name: values * np.float32(factors[-1]) for name, values in reference.answers.items()}

    monkeypatch.setattr(gpu, "find_gpu", lambda: L4)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setattr(engines, "load_engine", lambda trt, plan: plan)
    monkeypatch.setattr(engines, "built_types", lambda trt, engine: {"f32": 3})
    monkeypatch.setattr(engines, "_answers", answers)
    return factors.append


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("on_a_gpu")
def test_engines_and_what_they_were_built_with_take_their_place(repository: Path) -> None:
    compiled = repository / PREPROCESS / "1" / "__pycache__"  # as a server leaves it
    compiled.mkdir()
    (compiled / "model.cpython-311.pyc").write_bytes(b"")
    assert read_json(repository / MANIFEST)["engines"] == dict.fromkeys(MODELS.values())
    manifest = rebuild(repository, lambda step: None)
    assert manifest == read_json(repository / MANIFEST)
    assert set(manifest["engines"]) == set(MODELS.values())
    for section, model in MODELS.items():
        engine = manifest["engines"][model]
        assert (engine["tensorrt"], engine["gpu"], engine["compute_capability"]) == (
            trt.__version__,
            "NVIDIA L4",
            "8.9",
        )
        assert (engine["version_compatible"], engine["layers"]) == (False, {"f32": 3})
        assert manifest[section] == read_json(repository / model / MODEL_MANIFEST)
        assert manifest[section]["engine"] == engine
        assert (repository / model / "1" / ENGINE_FILENAME).stat().st_size > 1000
    assert not compiled.exists()
    assert manifest["files"] == {name: digest for name, digest in _digests(repository).items() if name != MANIFEST}
    assert list(repository.parent.iterdir()) == [repository]


@pytest.mark.usefixtures("on_a_gpu")
def test_one_model_by_itself_gets_its_engine(repository: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(repository / FACE_EMBEDDING, tmp_path / "embedder"))
    manifest = rebuild(folder, lambda step: None)
    assert manifest == read_json(folder / MODEL_MANIFEST)
    assert manifest["engine"]["gpu"] == "NVIDIA L4"
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(inspect, [str(folder)])
    assert shown.exit_code == 0, shown.output
    assert f"TensorRT {trt.__version__}, NVIDIA L4 (8.9), layers 3 f32" in shown.output
    assert "parity of the engine" in shown.output
    assert (folder / "1" / ENGINE_FILENAME).stat().st_size > 1000


def test_an_engine_that_misses_parity_leaves_everything_as_it_was(
    repository: Path, on_a_gpu: Callable[[float], None]
) -> None:
    rebuild(repository, lambda step: None)
    before = _digests(repository)
    on_a_gpu(0.9)
    with pytest.raises(ExportError, match=r"parity of the engine .* failed in batches of 1: .*; it was not written"):
        rebuild(repository, lambda step: None)
    assert _digests(repository) == before
    assert list(repository.parent.iterdir()) == [repository]


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize(("wrong", "batch"), [(0, 1), (1, 8)])
def test_every_profile_is_held_against_paddle(
    repository: Path, monkeypatch: pytest.MonkeyPatch, wrong: int, batch: int
) -> None:
    right = engines._answers

    def answers(engine: bytes, reference: Reference, profile: int, batch: int) -> Answers:
        found = right(engine, reference, profile, batch)
        return {name: values * np.float32(0.9) for name, values in found.items()} if profile == wrong else found

    monkeypatch.setattr(engines, "_answers", answers)
    with pytest.raises(
        ExportError, match=f"BlazeFace-FPN-SSH: parity of the engine with Paddle failed in batches of {batch}: "
    ):
        rebuild(repository, lambda step: None)


def test_a_profile_computes_full_batches_of_all_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int]]] = []

    class Runner:
        def __init__(self, engine: bytes, optimization_profile: int) -> None:
            self._profile = optimization_profile

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def get_input_metadata(self) -> list[str]:
            return ["faces"]

        def infer(self, feed: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
            rows = feed["faces"][:, 0]
            asked.append((self._profile, rows.tolist()))
            return {"embedding": rows.astype(np.float32)}

    monkeypatch.setattr("polygraphy.backend.trt.TrtRunner", Runner)
    faces = np.arange(5, dtype=np.uint8).reshape(5, 1)
    reference = Reference(tuple("abcde"), faces, {}, EmbedderJudge(0.5))
    answers = engines._answers(b"", reference, profile=2, batch=4)
    assert asked == [(2, [0, 1, 2, 3]), (2, [4, 0, 1, 2])]
    assert answers["embedding"].tolist() == [0, 1, 2, 3, 4]


def test_the_manifest_s_bounds_hold_unless_others_are_given_which_are_written_down(
    repository: Path, on_a_gpu: Callable[[float], None]
) -> None:
    path = repository / FACE_EMBEDDING / MODEL_MANIFEST
    manifest = read_json(path)
    manifest["bounds"]["f32"]["raw_difference"] = 1e-7  # as --bound of the export wrote it
    write_json(path, manifest)
    on_a_gpu(1.00001)
    with pytest.raises(ExportError, match="raw_difference is .*, allowed is 1e-07"):
        rebuild(repository, lambda step: None)
    with pytest.raises(ConfigError, match="looser than the table's"):
        rebuild(repository, lambda step: None, ["raw_difference=2"])
    for changes, limit in ((["raw_difference=0.0005", "f16.cosine_distance=0"], 0.0005), ([], 0.0005)):
        manifest = rebuild(repository, lambda step: None, changes)
        assert manifest["recogniser"] == read_json(path)
        assert manifest["recogniser"]["bounds"]["f32"]["raw_difference"] == limit
        assert manifest["recogniser"]["bounds"]["f32"]["cosine_distance"] == BOUNDS["f32"]["cosine_distance"]


@pytest.mark.parametrize("name", [SOURCE_GRAPH, REFERENCE])
def test_what_an_engine_is_built_from_is_missing(repository: Path, name: str) -> None:
    (repository / FACE_EMBEDDING / name).unlink()
    with pytest.raises(ExportError, match=f"^{name} is missing in {repository / FACE_EMBEDDING}; export it again$"):
        rebuild(repository, lambda step: None)


@pytest.mark.usefixtures("on_a_gpu")
def test_a_second_engine_that_cannot_be_built_leaves_everything_as_it_was(repository: Path) -> None:
    broken = chain("Mul", "Relu")
    broken.graph.node[0].op_type = "NoSuchOperation"
    (repository / FACE_EMBEDDING / SOURCE_GRAPH).write_bytes(broken.SerializeToString())
    before = _digests(repository)
    steps: list[str] = []
    with pytest.raises(ExportError, match="(?s)does not take the graph: .*NoSuchOperation"):
        rebuild(repository, steps.append)
    assert steps[1] == "BlazeFace-FPN-SSH: compare the engine with Paddle in batches of 1"  # the first was built
    assert _digests(repository) == before
    assert list(repository.parent.iterdir()) == [repository]


def test_without_a_gpu_that_is_what_is_told_whatever_else_is_missing(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "find_gpu", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    before = _digests(repository)
    with pytest.raises(
        ExportError, match=r"there is no NVIDIA GPU here, .* Run `toonface export engine .*/repository` in"
    ):
        rebuild(repository, lambda step: None)
    assert _digests(repository) == before


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("package", ["tensorrt", "polygraphy"])
def test_a_package_that_is_missing_is_told_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    assert require_gpu("") == (trt, L4)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ExportError, match=rf"package {package} cannot be imported .*; run: pip install 'toonface\[engine\]'. Instead"
    ):
        require_gpu("Instead")
