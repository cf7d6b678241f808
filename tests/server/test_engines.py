"""Engines are held against the TensorRT and the GPUs of the machine before a server starts."""

import json
from pathlib import Path

import pytest

from toonface_contract.errors import ServerError
from toonface_server.control import Key
from toonface_server.engines import EngineRecord, Machine, check_engines, this_machine
from toonface_server.preflight import Ports
from toonface_server.repository import MANIFEST, Repository, open_repository
from toonface_server.triton import Launch

L4 = ("NVIDIA L4", "8.9")
ENGINE = EngineRecord(tensorrt="10.13.3.9", gpu=L4[0], compute_capability=L4[1], version_compatible=False)
COMPATIBLE = ENGINE.model_copy(update={"version_compatible": True})


def _check(engine: EngineRecord | None, version: tuple[int, int, int] | None, *gpus: tuple[str, str]) -> None:
    check_engines({"face_detection": engine}, Machine(version, gpus), "build/repository")


@pytest.mark.parametrize(
    ("engine", "version"),
    [(ENGINE, (10, 13, 3)), (COMPATIBLE, (10, 13, 3)), (COMPATIBLE, (10, 14, 0))],
)
def test_an_engine_runs_where_it_was_built_and_a_compatible_one_on_later_versions(
    engine: EngineRecord, version: tuple[int, int, int]
) -> None:
    _check(engine, version, L4, L4)


@pytest.mark.parametrize(
    ("engine", "version"),
    [(ENGINE, (10, 13, 2)), (ENGINE, (10, 14, 0)), (COMPATIBLE, (10, 12, 0)), (COMPATIBLE, (11, 0, 0))],
)
def test_another_version_is_refused(engine: EngineRecord, version: tuple[int, int, int]) -> None:
    here = ".".join(map(str, version))
    with pytest.raises(
        ServerError,
        match=rf"face_detection was built with TensorRT 10.13.3.9, and {here} is here; build it here: "
        "toonface export engine build/repository",
    ):
        _check(engine, version, L4)


@pytest.mark.parametrize("gpus", [(("NVIDIA L40S", "8.9"),), (L4, ("NVIDIA T4", "7.5")), ()])
def test_another_gpu_is_refused(gpus: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ServerError, match=r"was built for NVIDIA L4 \(8.9\), and here is (NVIDIA L4|no GPU)"):
        _check(ENGINE, (10, 13, 3), *gpus)


def test_an_engine_that_was_not_built_is_refused_with_what_to_run() -> None:
    with pytest.raises(ServerError, match="has not been built yet; build it here: toonface export engine"):
        _check(None, (10, 13, 3), L4)


def test_without_tensorrt_nothing_runs() -> None:
    with pytest.raises(ServerError, match=r"there is no TensorRT here \(libnvinfer.so.11 or libnvinfer.so.10\)"):
        _check(ENGINE, None, L4)


def test_the_machine_is_asked_without_failing() -> None:
    machine = this_machine()
    assert machine.tensorrt is None or len(machine.tensorrt) == 3
    assert all(len(gpu) == 2 for gpu in machine.gpus)


def test_the_manifest_tells_of_engines(repository: Path) -> None:
    assert open_repository(repository).engines == {}
    manifest = json.loads((repository / MANIFEST).read_text())
    record = {**ENGINE.model_dump(), "layers": {"f16": 40}, "parity": {}}
    manifest["engines"] = {"face_detection": record, "face_embedding": None}
    (repository / MANIFEST).write_text(json.dumps(manifest))
    assert open_repository(repository).engines == {"face_detection": ENGINE, "face_embedding": None}


@pytest.mark.parametrize(
    ("engines", "told"),
    [
        ({}, False),
        ({"face_detection": ENGINE, "face_embedding": None}, False),
        ({"face_detection": ENGINE, "face_embedding": COMPATIBLE}, True),
    ],
)
def test_triton_is_told_to_load_version_compatible_engines(engines: dict[str, EngineRecord | None], told: bool) -> None:
    launch = Launch(
        executable=Path("tritonserver"),
        backends=Path("backends"),
        repository=Repository(Path("repository"), {}, engines),
        host="127.0.0.1",
        ports=Ports(8001, 8000, 8002),
        loopback=True,
        key=Key(),
        environment={},
    )
    assert ("--backend-config=tensorrt,version-compatible=true" in launch.command("prefix")) == told
