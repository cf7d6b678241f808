"""The gallery of a server whose stages, and which itself, are killed at random moments while faces are enrolled.

Nothing acknowledged is lost, nothing half appears, and the store is sound after each kill. Stores whose writers are
killed are in tests/gallery/test_gallery_processes.py. `TOONFACE_TEST_SERVERS` says how many servers are killed, each
after four of its stages.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from live_server import Server, start_server

from toonface_client import RetryPolicy, ToonfaceClient, cli
from toonface_contract.admin import NewFace
from toonface_contract.errors import ToonfaceError
from toonface_gallery.store import GalleryStore
from toonface_server.keeper import MAX_REPAIRS

SERVERS = int(os.environ.get("TOONFACE_TEST_SERVERS", "16"))
STAGE_KILLS = 4  # of each server
BATCH = 5
# What tritonserver ends with when a stage that was killed held a lock of their shared memory (server#8882).
LOCK_LOST = "boost::interprocess::lock_exception"


class Writer:
    """Enrols batches over the wire, and remembers which were acknowledged and which are in doubt."""

    def __init__(self, server: Server, name: str, dimension: int) -> None:
        self.acknowledged: list[str] = []
        self.in_doubt: list[str] = []
        self._server = server
        self._name = name
        self._vectors = np.eye(dimension, dtype=np.float32)[:BATCH]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        with ToonfaceClient(self._server.grpc, timeout=10, retry=RetryPolicy(attempts=1)) as client:
            while not self._stop.is_set():
                number += 1
                label = f"{self._name}-{number:05d}"
                self.in_doubt.append(label)
                try:
                    client.add_faces("default", [NewFace(label=label)] * BATCH, self._vectors)
                except ToonfaceError:
                    time.sleep(0.05)
                else:
                    self.in_doubt.remove(label)
                    self.acknowledged.append(label)


def kill_stage(server: Server, stage: str) -> bool:
    """Whether there was one to kill: there is none while it is repaired, nor after tritonserver has ended."""
    try:
        running = server.stages(stage)[:1]
    except (ValueError, psutil.NoSuchProcess):
        return False
    for process in running:
        process.kill()
    return bool(running)


def goes_on(server: Server, writer: Writer) -> bool:
    """Wait until faces are enrolled again. False where tritonserver ended by a fault of its own."""
    before, give_up = len(writer.acknowledged), time.monotonic() + 120
    while len(writer.acknowledged) <= before:
        if server.process.poll() is not None:
            assert LOCK_LOST in server.log.read_text()
            return False
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return True


def kill_all(server: Server) -> None:
    """The server, tritonserver and every stage at once, as when the machine fails."""
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    server.process.wait()


def assert_whole(folder: Path, writers: list[Writer]) -> None:
    store = GalleryStore(f"sqlite:///{folder}/gallery.sqlite3")
    there = Counter(face.label for face in store.page("default", limit=1_000_000).faces)
    assert set(there.values()) <= {BATCH}
    # A copy each, since the writer goes on; what it enrolled after the page was read does not count.
    for writer in writers:
        known = set(writer.acknowledged) | set(writer.in_doubt)
        assert {label for label in there if label.startswith(f"{writer._name}-")} <= known
    assert store.verify() == []
    store.close()


def assert_verified(server: Server) -> None:
    """By the command, once the server is whole again."""
    with ToonfaceClient(server.grpc) as client:
        give_up = time.monotonic() + 120
        while not client.status().healthy:
            assert time.monotonic() < give_up
            time.sleep(0.1)
    verified = CliRunner().invoke(cli.main, ["gallery", "verify", "--address", server.grpc])
    assert verified.exit_code == 0, verified.output


@pytest.mark.slow
def test_stages_and_servers_killed_at_any_moment_lose_nothing(repository: Path, tmp_path: Path) -> None:
    moments = random.Random()  # noqa: S311  (not for secrets)
    writers: list[Writer] = []
    kills: Counter[str] = Counter()
    for number in range(SERVERS):
        with start_server(repository, tmp_path) as server:
            with ToonfaceClient(server.grpc) as client:
                (dimension,) = {each.dimension for each in client.galleries() if each.name == "default"}
            writer = Writer(server, f"w{number:02d}", dimension)
            writers.append(writer)
            # A server that has to repair one stage more often in a short time gives up, as it should.
            for stage in moments.sample(["gallery_admin", "gallery_search"] * MAX_REPAIRS, k=STAGE_KILLS):
                time.sleep(moments.uniform(0.1, 1.5))
                kills[stage] += kill_stage(server, stage)
                repaired = goes_on(server, writer)
                assert_whole(tmp_path, writers)
                if not repaired:
                    kills["tritonserver"] += 1
                    break
            else:
                assert_verified(server)
                time.sleep(moments.uniform(0.1, 0.5))
                kill_all(server)
                kills["server"] += 1
            writer.stop()
        assert_whole(tmp_path, writers)
        store = GalleryStore(f"sqlite:///{tmp_path}/gallery.sqlite3")
        there = {face.label for face in store.page("default", limit=1_000_000).faces}
        store.close()
        assert there >= {label for each in writers for label in each.acknowledged}
    print(f"killed, and nothing was lost: {dict(kills)}")
    assert kills["server"] + kills["tritonserver"] == SERVERS
    assert kills["server"] > SERVERS // 2
    assert kills["gallery_admin"] + kills["gallery_search"] >= kills["server"] * STAGE_KILLS * 3 // 4
    with start_server(repository, tmp_path) as server:
        assert_verified(server)
