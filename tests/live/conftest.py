"""The whole served system, exported and started once a session, as a user would."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import CHECKOUT, TOONFACE, Server, start_server

from toonface_client import ToonfaceClient

CHARACTERS = "characters"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "repository"
    pipeline = CHECKOUT / "models" / "face_recognition.yaml"
    subprocess.run([TOONFACE, "export", pipeline, "--output", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as it was; it must still answer rightly at the end, and drain."""
    with start_server(repository, tmp_path_factory.mktemp("server")) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def client(server: Server) -> Iterator[ToonfaceClient]:
    with ToonfaceClient(server.grpc) as opened:
        yield opened


@pytest.fixture(scope="session")
def characters(server: Server) -> str:
    """A gallery of the demo's characters, enrolled from its list; its name."""
    gallery_list = CHECKOUT / "demo" / "gallery" / "gallery.txt"
    subprocess.run(
        [TOONFACE, "gallery", "build", CHARACTERS, gallery_list, "--address", server.grpc], check=True, timeout=300
    )
    return CHARACTERS


@pytest.fixture(scope="session")
def server_address(server: Server) -> str:
    return server.grpc
