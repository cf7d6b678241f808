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

SERVERS = int(os.environ.get("TOONFACE_TEST_SERVERS", "16"))
STAGE_KILLS = 4  # of each server; more in a short time, and it gives up, as it should
BATCH = 5


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
            for stage in moments.choices(["gallery_admin", "gallery_search"], k=STAGE_KILLS):
                before = len(writer.acknowledged)
                time.sleep(moments.uniform(0.1, 1.5))
                for process in server.stages(stage)[:1]:
                    process.kill()
                    kills[stage] += 1
                give_up = time.monotonic() + 120
                while len(writer.acknowledged) <= before:
                    assert time.monotonic() < give_up and server.process.poll() is None
                    time.sleep(0.05)
                assert_whole(tmp_path, writers)
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
    assert kills.total() >= SERVERS * (STAGE_KILLS * 3 // 4 + 1)
    with start_server(repository, tmp_path) as server:
        assert_verified(server)
