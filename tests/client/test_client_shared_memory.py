"""Pictures through shared memory: the same answers, nothing left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stand_in_server import Connect, picture
from tritonclient.grpc import InferenceServerClient

from toonface_client import RetryPolicy
from toonface_client.shared_memory import Regions
from toonface_contract import errors


@pytest.fixture
def left_behind(server: str) -> Callable[[], tuple[set[str], set[str]]]:
    """Regions of this process in the system, and regions in the server, that were not there at the start."""

    def regions() -> tuple[set[str], set[str]]:
        with InferenceServerClient(server) as triton:
            registered = set(triton.get_system_shared_memory_status().regions)
        return {path.name for path in Path("/dev/shm").glob(f"toonface-client-{os.getpid()}-*")}, registered  # noqa: S108

    before = regions()
    return lambda: (regions()[0] - before[0], regions()[1] - before[1])


def large(faces: int) -> bytes:
    """A picture of more than the smallest region."""
    return picture(faces) + bytes(3_000_000)


def test_answers_are_those_without_shared_memory(connect: Connect, left_behind: Any) -> None:
    client = connect(shared_memory=True)
    for image in (picture(3), large(2), picture(1), large(4)):
        assert client.recognize(image).as_dict() == connect().recognize(image).as_dict()
        assert client.features(image).as_dict() == connect().features(image).as_dict()
    in_system, in_server = left_behind()
    assert len(in_system) == 1
    assert in_system < in_server
    client.close()
    assert left_behind() == (set(), set())


def test_many_at_once_do_not_mix_their_pictures(connect: Connect, left_behind: Any) -> None:
    client = connect(shared_memory=True)
    images = [picture(number % 5) if number % 3 else large(number % 5) for number in range(60)]
    answers = client.recognize_many(images, concurrency=4)
    assert [answer.faces_found for answer in answers] == [number % 5 for number in range(60)]
    assert len(left_behind()[0]) <= 4
    client.close()
    assert left_behind() == (set(), set())


def test_a_refused_picture_leaves_nothing_behind(connect: Connect, left_behind: Any) -> None:
    client = connect(shared_memory=True)
    with pytest.raises(errors.InvalidImage):
        client.recognize(b"no picture")
    assert left_behind()[0] == set()
    assert len(client.recognize(picture(2)).faces) == 2
    client.close()
    assert left_behind() == (set(), set())


def test_memory_that_the_server_still_reads_is_forgotten_later(connect: Connect, left_behind: Any) -> None:
    slow = connect(shared_memory=True, headers={"x-sleep-ms": "600"}, retry=RetryPolicy(attempts=1))
    with pytest.raises(errors.DeadlineExceeded):
        slow.recognize(picture(2), timeout=0.2)
    assert left_behind()[0] == set()
    connect().recognize(picture(2))  # Waits for its turn, and so for the end of the call before.
    slow.close()
    assert left_behind() == (set(), set())


def test_a_region_belongs_to_one_call_at_a_time() -> None:
    regions = Regions()
    taken: list[str] = []

    def take() -> None:
        for _ in range(50):
            region = regions.take(b"x" * 100)
            taken.append(region.name)
            assert taken.count(region.name) == 1
            taken.remove(region.name)
            regions.give_back(region)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert regions.discard() == []  # The server never heard of them.
    assert taken == []


def test_more_than_the_system_has_is_refused() -> None:
    regions = Regions()
    with pytest.raises(errors.Unavailable, match="shared memory"):
        regions.take(Endless())  # type: ignore[arg-type]


class Endless(bytes):
    """Bytes that claim to be more than any machine's memory."""

    def __len__(self) -> int:
        return 1 << 50
