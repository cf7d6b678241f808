"""A serving server loses stages, is stopped, and is asked for what it cannot do."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from live_server import CHECKOUT, Server, start_server
from scenes import DEMO, encode, scene
from tritonclient.grpc import InferenceServerClient

from toonface_client import LabelledPicture, RetryPolicy, ToonfaceClient
from toonface_contract.errors import ToonfaceError, Unavailable

PORTRAIT = scene(1, cell=300)
FACE = encode(PORTRAIT.image)
(NAME,) = PORTRAIT.names
STAGES = ("preprocess", "face_detection", "crop_align", "face_embedding", "gallery_search", "gallery_admin")


@pytest.fixture(scope="module")
def own_server(repository: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A server to harm."""
    with start_server(repository, tmp_path_factory.mktemp("own")) as running:
        with ToonfaceClient(running.grpc) as client:
            client.enrol("default", [LabelledPicture(FACE, NAME)], crop="faces", build=True, replace=True)
        yield running


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_is_repaired_while_the_server_stays_up(own_server: Server, stage: str) -> None:
    with ToonfaceClient(own_server.grpc, timeout=30) as client:
        before = own_server.stages(stage)
        before[0].kill()
        give_up = time.monotonic() + 10
        while len(own_server.stages(stage)) < len(before):
            assert time.monotonic() < give_up, f"{stage} was not started again"
            time.sleep(0.05)
        # The client's own retries bridge the rest of the repair.
        assert client.recognize(FACE).faces[0].label == NAME
        assert [gallery.name for gallery in client.galleries()] == ["default"]
    assert own_server.process.poll() is None


def test_a_stopped_server_finishes_what_it_accepted(repository: Path, tmp_path: Path) -> None:
    crowd = encode(scene(40).image)
    answers: list[int] = []
    refused: list[ToonfaceError] = []
    with start_server(repository, tmp_path) as server:

        def ask() -> None:
            with ToonfaceClient(server.grpc, timeout=60, retry=RetryPolicy(attempts=1)) as client:
                try:
                    answers.append(len(client.recognize(crowd).faces))
                except ToonfaceError as error:
                    refused.append(error)

        asking = [threading.Thread(target=ask) for _ in range(8)]
        for thread in asking:
            thread.start()
        while not preprocessed(server.grpc):
            time.sleep(0.01)
        assert server.stop() == 0
        for thread in asking:
            thread.join()
    assert answers, "the requests in flight were answered"
    assert all(isinstance(error, Unavailable) for error in refused), refused
    assert len(answers) + len(refused) == 8
    assert "Traceback" not in server.log.read_text()


def preprocessed(address: str) -> int:
    """Crowds that have passed the first stage, beside the canary: by then the others wait in the queues."""
    with InferenceServerClient(address) as triton:
        statistics = triton.get_inference_statistics("face_detection").model_stats[0]
    return int(statistics.inference_stats.success.count) - 1


def test_demo_pictures_are_in_the_checkout() -> None:
    assert (CHECKOUT / "models" / "face_recognition.yaml").is_file()
    assert len(list((DEMO / "pictures").iterdir())) >= 5
