"""However a server ends, accepted requests come first, and nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from small_repository import STAGES, Served, command, expected, served, wait_until, write_manifest
from tritonclient.utils import InferenceServerException

from toonface_server.runtime import SHARED_MEMORY


class _Traces:
    """What a server has on the machine: processes, shared memory, a temporary folder."""

    def __init__(self, server: Served) -> None:
        self.processes = [server.triton, *server.triton.children()]
        [backends] = [word for word in server.triton.cmdline() if word.startswith("--backend-directory=")]
        self.folder = Path(backends.split("=")[1]).parent
        assert self.folder.is_relative_to(tempfile.gettempdir())
        assert len(self.processes) == 1 + len(STAGES) + 1
        assert len(self.regions()) == len(STAGES) + 1

    def regions(self) -> list[Path]:
        return list(SHARED_MEMORY.glob(f"{self.folder.name}*"))

    def alive(self) -> list[psutil.Process]:
        return [p for p in self.processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_drain_answers_what_was_accepted_and_refuses_the_rest(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path) as server:
        traces = _Traces(server)
        client = server.client
        with ThreadPoolExecutor(4) as threads:
            answers = [threads.submit(server.ask, 2, client, sleep_ms=700) for _ in range(4)]
            statistics = lambda: client.get_inference_statistics("preprocess").model_stats[0]  # noqa: E731
            first = statistics().inference_stats.success.count
            wait_until(lambda: statistics().inference_stats.success.count > first)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "draining" in server.log_text)
            with pytest.raises(InferenceServerException, match="unknown model"):
                server.ask(1)
            assert [answer.result() for answer in answers] == [expected(2)] * 4
        assert server.process.wait(60) == 0
        assert "every accepted request is finished" in server.log_text
        assert traces.alive() == [] and traces.regions() == [] and not traces.folder.exists()


def test_a_second_signal_does_not_wait(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path) as server, ThreadPoolExecutor(1) as threads:
        traces = _Traces(server)
        endless = threads.submit(server.ask, act="hang")
        wait_until(lambda: "hanging" in server.log_text)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in server.log_text)
        assert server.stop() == 0
        with pytest.raises(InferenceServerException):
            endless.result()
        assert traces.alive() == [] and traces.regions() == []


def test_a_drain_is_cut_when_its_time_is_over(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path, "--drain-seconds", "1") as server, ThreadPoolExecutor(1) as threads:
        traces = _Traces(server)
        endless = threads.submit(server.ask, act="hang")
        wait_until(lambda: "hanging" in server.log_text)
        assert server.stop() == 0
        with pytest.raises(InferenceServerException):
            endless.result()
        assert "face_recognition, gallery_admin did not finish: 1 s have passed" in server.log_text
        assert traces.alive() == [] and traces.regions() == []


def test_a_stop_while_starting_is_no_failure(repository: Path, tmp_path: Path) -> None:
    slow = repository / "gallery_search" / "1" / "model.py"
    slow.write_text("import time; time.sleep(600)\n")
    write_manifest(repository)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command(repository), stderr=output)
    wait_until(lambda: "starting" in log.read_text() and psutil.Process(process.pid).children())
    [triton] = psutil.Process(process.pid).children()
    process.terminate()
    assert process.wait(60) == 0
    assert not triton.is_running()


@pytest.mark.parametrize("model", ["gallery_search", "gallery_admin"])
def test_a_server_with_a_dead_stage_ends(repository: Path, tmp_path: Path, model: str) -> None:
    with served(repository, tmp_path) as server:
        traces = _Traces(server)
        server.stage(model).kill()
        assert server.stop() == 0
        assert traces.alive() == [] and traces.regions() == []


def test_the_death_of_tritonserver_ends_the_command(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path) as server:
        traces = _Traces(server)
        server.triton.kill()
        assert server.process.wait(60) == 1
        assert "tritonserver was killed by SIGKILL" in server.log_text
        assert "repair" not in server.log_text
        assert traces.alive() == [] and traces.regions() == [] and not traces.folder.exists()


def test_the_death_of_tritonserver_is_seen_while_a_stage_outlives_it(repository: Path, tmp_path: Path) -> None:
    """Which keeps tritonserver's output open. The others, which do not, are no news: they died of its death."""
    with served(repository, tmp_path) as server:
        traces = _Traces(server)
        server.stage("gallery_search").suspend()
        triton, another = server.triton, server.stage("preprocess")
        triton.kill()
        wait_until(lambda: not triton.is_running())
        another.kill()
        assert server.process.wait(60) == 1
        assert "tritonserver was killed by SIGKILL" in server.log_text
        assert "repair" not in server.log_text
        assert traces.alive() == [] and traces.regions() == []


def test_the_death_of_the_command_ends_tritonserver(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path) as server:
        traces = _Traces(server)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: traces.alive() == [])
        assert traces.regions() == []
        # Nobody was left to remove the folder; the next server does.
        assert traces.folder.exists()
    (tmp_path / "next").mkdir()
    with served(repository, tmp_path / "next"):
        assert not traces.folder.exists()


def test_regions_of_a_group_that_was_killed_are_cleared_by_the_next_server(repository: Path, tmp_path: Path) -> None:
    with served(repository, tmp_path) as server:
        traces = _Traces(server)
        for process in traces.processes[1:]:
            process.suspend()  # so that none can clean up
        server.process.kill()
        traces.processes[0].kill()
        for process in traces.processes[1:]:
            process.kill()
        server.process.wait()
        wait_until(lambda: traces.alive() == [])
        assert traces.regions() != []
    (tmp_path / "next").mkdir()
    with served(repository, tmp_path / "next"):
        assert traces.regions() == []
