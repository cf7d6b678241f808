from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_repository import affine_onnx

from toonface_server.openvino_network import OpenVinoNetwork


@pytest.fixture
def network(tmp_path: Path) -> OpenVinoNetwork:
    affine_onnx(tmp_path / "model.onnx", "rows", "moved", 2, 1)
    return OpenVinoNetwork(tmp_path / "model.onnx", ["moved"], batches=True, threads=2, precision="f32")


@pytest.mark.parametrize("share", [1, 2])
def test_two_instances_compute_side_by_side(tmp_path: Path, share: int) -> None:
    affine_onnx(tmp_path / "model.onnx", "rows", "moved", 2, 1)
    networks = [
        OpenVinoNetwork(tmp_path / "model.onnx", ["moved"], batches=True, threads=3, precision="f32", share=share)
        for _ in range(2)
    ]

    def call(number: int) -> bool:
        batch = np.full((1 + number, 4), number, np.float32)
        return all((networks[number].run({"rows": batch})["moved"] == number * 2 + 1).all() for _ in range(200))

    with ThreadPoolExecutor(2) as callers:
        assert all(callers.map(call, range(2)))


@pytest.mark.parametrize("rows", [1, 2, 3, 17])
def test_rows_come_back_in_their_order(network: OpenVinoNetwork, rows: int) -> None:
    batch = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    np.testing.assert_array_equal(network.run({"rows": batch})["moved"], batch * 2 + 1)


def test_an_answer_is_not_overwritten_by_the_next(network: OpenVinoNetwork) -> None:
    first = network.run({"rows": np.ones((1, 4), np.float32)})["moved"]
    network.run({"rows": np.zeros((3, 4), np.float32)})
    np.testing.assert_array_equal(first, np.full((1, 4), 3))


def test_callers_at_the_same_time_get_their_own_rows(network: OpenVinoNetwork) -> None:
    begin = threading.Barrier(8)

    def call(number: int) -> bool:
        batch = np.full((1 + number % 3, 4), number, np.float32)
        begin.wait()
        return all((network.run({"rows": batch})["moved"] == number * 2 + 1).all() for _ in range(50))

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(call, range(8)))


def test_after_a_failure_it_goes_on(network: OpenVinoNetwork) -> None:
    for rows in (1, 5):  # more of them than there are requests to run them with
        for _ in range(3):
            with pytest.raises(Exception, match="shape"):
                network.run({"rows": np.zeros((rows, 3), np.float32)})
    batch = np.ones((5, 4), np.float32)
    np.testing.assert_array_equal(network.run({"rows": batch})["moved"], batch * 3)


def test_without_rows_a_network_is_run_as_it_is(tmp_path: Path) -> None:
    affine_onnx(tmp_path / "model.onnx", "rows", "moved", 2, 0)
    network = OpenVinoNetwork(tmp_path / "model.onnx", ["moved"], batches=False, threads=1, precision="auto")
    batch = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(network.run({"rows": batch})["moved"], batch * 2)


def test_an_unknown_precision_is_named(tmp_path: Path) -> None:
    affine_onnx(tmp_path / "model.onnx", "rows", "moved", 2, 0)
    with pytest.raises(ValueError, match="'fp8'; it must be one of auto, f32, bf16"):
        OpenVinoNetwork(tmp_path / "model.onnx", ["moved"], batches=True, threads=1, precision="fp8")
