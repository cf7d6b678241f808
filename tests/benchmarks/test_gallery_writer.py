"""What the writer of the benchmark of galleries does beside searches."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np

from toonface_benchmarks.gallery_process import EMBEDDER, GALLERY
from toonface_benchmarks.gallery_writer import make_change
from toonface_gallery.store import GalleryStore


def test_the_writer_adds_updates_and_removes(tmp_path: Path) -> None:
    store = GalleryStore(f"sqlite:///{tmp_path}/gallery.sqlite3")
    store.ensure(GALLERY, EMBEDDER, 8)
    vectors, present = np.eye(8, dtype=np.float32), deque[int]()
    sizes = []
    for number in range(8):
        make_change(store, number, present, vectors[number][np.newaxis])
        sizes.append(len(store.page(GALLERY).faces))
    assert sizes == [1, 2, 2, 1, 2, 3, 3, 2]
    page, embeddings = store.page_with_embeddings(GALLERY)
    assert [face.label for face in page.faces] == ["guest 4", "guest 6"]
    assert [face.id for face in page.faces] == list(present)
    np.testing.assert_array_equal(embeddings, vectors[[4, 6]])
    store.close()
