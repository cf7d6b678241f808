from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_helpers import DIMENSION, EMBEDDER

from toonface_gallery.live import LiveGalleries
from toonface_gallery.store import GalleryStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gallery.sqlite3"


@pytest.fixture
def store(url: str) -> Iterator[GalleryStore]:
    store = GalleryStore(url)
    yield store
    store.close()


@pytest.fixture
def live(store: GalleryStore) -> Iterator[LiveGalleries]:
    """Live galleries that follow `store`."""
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    yield live
    live.stop()
