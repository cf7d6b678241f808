"""A real tritonserver over a stand-in for toonface's models, and both clients behind one face."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from blocking_client import Blocking
from stand_in_server import Connect, picture, tritonserver

from toonface_client import ToonfaceClient


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stand-in that no test harms."""
    with tritonserver(tmp_path_factory.mktemp("stand-in")) as address:
        yield address


@pytest.fixture(scope="module")
def fragile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stand-in to harm."""
    with tritonserver(tmp_path_factory.mktemp("fragile")) as address:
        yield address


@pytest.fixture(params=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest, server: str) -> Iterator[Connect]:
    """Makes clients of the stand-in, of either kind; they are closed after the test."""
    kind = ToonfaceClient if request.param == "threads" else Blocking
    with ExitStack() as stack:

        def make(**arguments: Any) -> Any:
            client = kind(**{"address": server, **arguments})
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Connect) -> Any:
    """A client that may change galleries."""
    return connect(token="secret")  # noqa: S106  (the stand-in's)


@pytest.fixture
def gallery() -> str:
    """A gallery's name that no other test has."""
    return f"gallery-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(picture())
    return path
