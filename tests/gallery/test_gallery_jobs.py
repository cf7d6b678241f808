"""Jobs of galleries, and who waits for them."""

from __future__ import annotations

import threading

import pytest
from gallery_helpers import DIMENSION, EMBEDDER

from toonface_gallery.jobs import GalleryJobs
from toonface_gallery.snapshot import GalleryKey


def test_a_job_can_be_waited_for_before_its_thread_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    key = GalleryKey(1, "people", DIMENSION, EMBEDDER)
    jobs = GalleryJobs(threading.Event())
    start = threading.Thread.start

    def begin_late(thread: threading.Thread) -> None:
        jobs.join_one(key, 0.01)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin_late)
    done: list[int] = []
    jobs.begin(key, "made", done.append)
    jobs.join()
    assert len(done) == 1
    assert not jobs.busy(key)
