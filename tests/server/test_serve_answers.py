"""A running server answers through the Python-based backends, and keeps its controls to itself."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_repository import Served, expected
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_a_batch_of_any_size_is_answered_right(server: Served, rows: int) -> None:
    assert server.ask(rows) == expected(rows)


def test_requests_that_share_a_run_get_their_own_rows(server: Served) -> None:
    client = server.client
    before = client.get_inference_statistics("face_detection").model_stats[0]
    rows = [1, 2, 3, 1, 2] * 20
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda count: server.ask(count, client), rows))
    assert answers == [expected(count) for count in rows]
    after = client.get_inference_statistics("face_detection").model_stats[0]
    assert after.inference_count - before.inference_count >= sum(rows)
    assert after.execution_count - before.execution_count < len(rows)


def test_more_rows_than_the_largest_batch_are_refused(server: Served) -> None:
    tensor = InferInput("rows", [9, 4], "FP32")
    tensor.set_data_from_numpy(np.zeros((9, 4), np.float32))
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8"):
        server.client.infer("face_detection", [tensor])


@pytest.mark.parametrize("call", ["load_model", "unload_model"])
def test_clients_cannot_change_models(server: Served, call: str) -> None:
    with pytest.raises(InferenceServerException, match="restricted"):
        getattr(server.client, call)("preprocess")
    assert server.ask() == expected(2)


def test_http_clients_cannot_change_models(server: Served) -> None:
    url = f"http://127.0.0.1:{server.addresses['http_port']}/v2/repository/models/preprocess/unload"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(url, method="POST", data=b"{}"))


def test_the_authorization_header_reaches_the_stages(server: Served) -> None:
    tensor = InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"x"], dtype=np.object_))
    with pytest.raises(InferenceServerException, match=r"\['act', 'authorization'\]"):
        server.client.infer(
            "face_recognition", [tensor], headers={"authorization": "Bearer t"}, parameters={"act": "headers"}
        )


def test_the_authorization_header_reaches_the_stages_over_http(server: Served) -> None:
    body = {
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["x"]}],
        "parameters": {"act": "headers"},
    }
    url = f"http://127.0.0.1:{server.addresses['http_port']}/v2/models/face_recognition/infer"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Authorization": "Bearer t"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310
    assert "['act', 'authorization']" in json.loads(refused.value.read())["error"]
