"""A stage that dies or hangs is repaired while the rest of the server goes on."""

from __future__ import annotations

import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_repository import STAGES, Served, command, expected, served, wait_until, write_manifest
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException


def _answers_again(server: Served) -> Any:
    def right() -> bool:
        try:
            return server.ask() == expected(2)
        except InferenceServerException:
            return False

    return right


@pytest.mark.parametrize("model", [*STAGES, STAGES[0]])
def test_a_killed_stage_is_repaired_and_the_others_are_left_alone(server: Served, model: str) -> None:
    """One of them twice: Triton ignores a configuration that it has loaded before."""
    others = {stage: server.stage(stage).pid for stage in (*STAGES, "gallery_admin") if stage != model}
    triton = server.triton.pid
    killed = server.stage(model)
    killed.kill()
    wait_until(_answers_again(server))
    assert server.stage(model).pid != killed.pid
    assert {stage: server.stage(stage).pid for stage in others} == others
    assert server.triton.pid == triton


def test_a_stage_outside_the_ensemble_is_repaired(server: Served) -> None:
    killed = server.stage("gallery_admin")
    killed.kill()
    wait_until(lambda: server.log_text.count("stage gallery_admin repaired") == 1)
    assert server.stage("gallery_admin").pid != killed.pid


def test_a_stopped_process_is_replaced(server: Served) -> None:
    stopped = server.stage("face_embedding")
    stopped.suspend()
    wait_until(lambda: not stopped.is_running() or stopped.status() == "zombie")
    wait_until(_answers_again(server))


def test_a_stage_that_never_returns_is_replaced(server: Served) -> None:
    hanging = server.stage("preprocess")

    def ask() -> None:
        with pytest.raises(InferenceServerException):
            server.ask(act="hang")

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(_answers_again(server))
    thread.join(30)
    assert not thread.is_alive()
    assert server.stage("preprocess").pid != hanging.pid
    assert "stage preprocess hangs" in server.log_text


def test_an_idle_stage_is_left_alone_while_another_is_busy(server: Served) -> None:
    """The canary waits behind slow requests to the first stage alone; those behind it see none of them."""
    pids = {stage: server.stage(stage).pid for stage in STAGES}
    client = server.client
    tensor = InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"xx"], dtype=np.object_))
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            threads.submit(client.infer, "preprocess", [tensor], parameters={"sleep_ms": 2000})
        wait_until(lambda: "too busy to answer" in server.log_text)
    assert {stage: server.stage(stage).pid for stage in STAGES} == pids


def test_a_slow_stage_is_left_alone(server: Served) -> None:
    pid = server.stage("preprocess").pid
    assert server.ask(sleep_ms=2500) == expected(2)
    assert server.stage("preprocess").pid == pid


def test_the_ready_file_is_away_while_a_stage_is_dead(repository: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with served(repository, tmp_path, "--json") as server:
        assert server.addresses["pid"] == server.process.pid
        server.stage("preprocess").kill()
        wait_until(lambda: not ready.exists())
        wait_until(ready.exists)
        assert server.ask() == expected(2)
        assert server.stop(signal.SIGINT) == 0
        assert not ready.exists()


def test_a_stage_that_dies_again_and_again_ends_the_server(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path) as server:
        while server.process.poll() is None:
            try:
                server.ask(act="crash")
            except InferenceServerException:
                pass
        assert server.process.wait() == 1
        assert "stage preprocess failed 4 times within" in server.log_text


def test_a_stage_that_cannot_start_says_why(repository: Path) -> None:
    (repository / "gallery_search" / "1" / "model.py").write_text("import no_such_package\n")
    write_manifest(repository)
    ended = subprocess.run(command(repository), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "pip install 'toonface[server]'" in ended.stderr
    assert "no_such_package" in ended.stderr


def test_a_parameter_that_openvino_does_not_know_is_named(repository: Path) -> None:
    config = repository / "face_embedding" / "config.pbtxt"
    parameter = 'parameters { key: "INFERENCE_PRECISION_HINT" value { string_value: "int3" } }\n'
    config.write_text(config.read_text() + parameter)
    write_manifest(repository)
    ended = subprocess.run(command(repository), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "parameter INFERENCE_PRECISION_HINT is 'int3'; it must be one of auto, f32, bf16" in ended.stderr
