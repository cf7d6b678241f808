from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_helpers import DIMENSION, EMBEDDER
from postgres_server import PostgresServer

from toonface_gallery import live as live_module
from toonface_gallery.live import LiveGalleries
from toonface_gallery.store import GalleryStore

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not in pytest's folder: that one is closed to the user as which PostgreSQL runs, and its path is too long for a
    # socket.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        Path(name).chmod(0o755)
        server = PostgresServer(Path(name))
        server.start()
        yield server
        server.stop(kill=True)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database of PostgreSQL."""
    name = f"test{next(_numbers)}"
    yield postgres.database(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gallery.sqlite3"


@pytest.fixture
def store(url: str) -> Iterator[GalleryStore]:
    store = GalleryStore(url)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for a gallery that was just made, or for none, may wait longer: a busy machine is slow."""
    monkeypatch.setattr(live_module, "_PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(live_module, "_LOOK_SECONDS_MOST", 5.0)


@pytest.fixture
def live(store: GalleryStore) -> Iterator[LiveGalleries]:
    """Live galleries that follow `store`."""
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    yield live
    live.stop()
