from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_repository import Served, served, write_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository of this test's own."""
    return write_repository(tmp_path / "repository")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over a small repository, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("server")
    options = ("--canary-seconds", "0.5", "--hang-seconds", "3")
    with served(write_repository(folder / "repository"), folder, *options) as running:
        yield running
