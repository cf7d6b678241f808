"""Both clients when the server fails, dies, is busy, slow or away."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocking_client import Blocking
from stand_in_server import Connect, free_port, picture, tritonserver
from tritonclient.grpc import InferenceServerClient

from toonface_client import RetryPolicy, ToonfaceClient
from toonface_contract import errors
from toonface_contract.admin import NewFace

PATIENT = RetryPolicy(attempts=100, first_pause=0.05, longest_pause=0.2)
ONCE = RetryPolicy(attempts=1)


def failing(times: int, code: str) -> dict[str, str]:
    """Headers that make the next requests of one client fail."""
    return {"x-fail": f"{uuid.uuid4().hex}/{times}/{code}"}


def test_a_read_is_tried_again_until_the_stage_works(connect: Connect) -> None:
    client = connect(headers=failing(2, "unavailable"))
    assert len(client.recognize(picture(2)).faces) == 2


def test_a_read_gives_up_with_the_last_error(connect: Connect) -> None:
    client = connect(headers=failing(9, "unavailable"), retry=RetryPolicy(attempts=3, first_pause=0.01))
    with pytest.raises(errors.Unavailable, match="failure 3 of 9"):
        client.recognize(picture())


def test_what_cannot_succeed_is_not_tried_again(connect: Connect) -> None:
    client = connect(headers=failing(9, "image_truncated"))
    with pytest.raises(errors.InvalidImage, match="failure 1 of 9"):
        client.recognize(picture())


def test_a_write_that_may_have_been_carried_out_is_not_tried_again(connect: Connect, gallery: str) -> None:
    client = connect(headers=failing(1, "store_unavailable"), token="secret")  # noqa: S106  (the stand-in's)
    with pytest.raises(errors.Unavailable, match="failure 1 of 1"):
        client.build_gallery(gallery, [], [])
    client.build_gallery(gallery, [], [])


def test_a_write_that_reached_no_stage_is_tried_again(connect: Connect, gallery: str) -> None:
    client = connect(headers=failing(2, "overloaded"), token="secret")  # noqa: S106  (the stand-in's)
    change = client.build_gallery(gallery, [NewFace(label="Ada")], np.ones((1, 4)))
    assert len(change.ids) == 1


def test_a_bug_in_a_stage_is_told_in_one_line(connect: Connect) -> None:
    client = connect(headers=failing(1, "crash"))
    with pytest.raises(errors.ToonfaceError, match="the stage has a bug$") as failed:
        client.recognize(picture())
    assert failed.value.code == "internal"


def test_a_deadline_ends_a_slow_call(connect: Connect, server: str) -> None:
    client = connect(headers={"x-sleep-ms": "2000"})
    with pytest.raises(errors.DeadlineExceeded, match=f"{server} within 0.2 seconds"):
        client.recognize(picture(), timeout=0.2)
    connect().recognize(picture())  # The stage is free again.


def test_the_deadline_holds_for_all_tries_together(connect: Connect) -> None:
    client = connect(headers=failing(1000, "unavailable"), retry=PATIENT, timeout=0.5)
    # The deadline passes in a pause, or in a try.
    with pytest.raises((errors.Unavailable, errors.DeadlineExceeded), match="of 1000|within 0.5 seconds"):
        client.recognize(picture())


def test_overload_is_told_and_retries_get_everybody_through(connect: Connect) -> None:
    images = [picture(1)] * 16
    hurried = connect(headers={"x-sleep-ms": "60"}, retry=ONCE)
    codes = Counter(
        outcome.code if isinstance(outcome, errors.ToonfaceError) else "answered"
        for outcome in hurried.recognize_many(images, concurrency=16)
    )
    assert codes["overloaded"] > 0
    assert codes["answered"] > 0
    assert set(codes) == {"overloaded", "answered"}
    patient = connect(headers={"x-sleep-ms": "20"}, retry=PATIENT, timeout=60)
    answers = list(patient.recognize_many(images, concurrency=16))
    assert [len(answer.faces) for answer in answers] == [1] * 16


def test_a_server_that_is_away_is_named(connect: Connect) -> None:
    address = f"127.0.0.1:{free_port()}"
    client = connect(address=address, retry=RetryPolicy(attempts=2, first_pause=0.01))
    for call in (client.ping, client.status, client.galleries):
        with pytest.raises(errors.Unavailable, match=f"cannot connect to {address}.*toonface serve"):
            call()


def test_a_server_without_our_models_is_told_apart_from_one_that_reloads(connect: Connect, fragile_server: str) -> None:
    with InferenceServerClient(fragile_server) as triton:
        client = connect(address=fragile_server, retry=ONCE)
        triton.unload_model("face_recognition")
        with pytest.raises(errors.Unavailable, match="stopping or reloading"):
            client.recognize(picture())
        status = client.status()
        assert not status.healthy
        assert (status.live, status.ready) == (True, False)
        assert isinstance(status.recognition_error, errors.Unavailable)
        triton.load_model("face_recognition")
        assert client.status().healthy


def test_a_read_bridges_the_repair_of_a_dead_stage(connect: Connect, fragile_server: str) -> None:
    with InferenceServerClient(fragile_server) as triton:
        client = connect(address=fragile_server, retry=ONCE, headers=failing(1, "die"))
        with pytest.raises(errors.Unavailable, match="died"):
            client.recognize(picture())
        assert not client.status().healthy
        repair = threading.Timer(0.5, replace_stage, [triton, "face_recognition"])
        repair.start()
        patient = connect(address=fragile_server, retry=PATIENT)
        assert len(patient.recognize(picture(2)).faces) == 2
        repair.join()


def test_clients_outlive_a_restart_of_their_server(tmp_path: Path) -> None:
    """And with it the loss of the shared memory that they had registered."""
    port = free_port()
    with ExitStack() as stack:
        with tritonserver(tmp_path, port=port) as address:
            clients = [kind(address=address, retry=PATIENT, shared_memory=True) for kind in (ToonfaceClient, Blocking)]
            for client in clients:
                stack.callback(client.close)
                assert len(client.recognize(picture(1)).faces) == 1
        for client in clients:
            with pytest.raises(errors.Unavailable, match="cannot connect"):
                client.recognize(picture(1), timeout=1)
        with tritonserver(tmp_path, port=port):
            for client in clients:
                assert len(client.recognize(picture(2)).faces) == 2


def replace_stage(triton: Any, model: str) -> None:
    """Triton makes new instances of a model, and swaps them in, for a configuration that is new to it."""
    config = triton.get_model_config(model, as_json=True)["config"]
    config.setdefault("parameters", {})["replaced"] = {"string_value": uuid.uuid4().hex}
    triton.load_model(model, config=json.dumps(config))
