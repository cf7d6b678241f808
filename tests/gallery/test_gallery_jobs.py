"""Jobs of galleries, and who waits for them."""

from __future__ import annotations

import threading

import pytest
from gallery_helpers import DIMENSION, EMBEDDER, no_thread

from toonface_contract.errors import Unavailable
from toonface_gallery import jobs as jobs_module
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


@pytest.mark.parametrize(
    ("error", "reason", "waits"),
    [
        (MemoryError(), "MemoryError", [5, 10, 20, 40, 80, 160, 300, 300]),
        (Unavailable("the store is away"), "the store is away", [5] * 8),
    ],
)
def test_a_job_that_fails_again_and_again_is_tried_ever_less_often(
    error: Exception, reason: str, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = GalleryKey(1, "people", DIMENSION, EMBEDDER)
    now = 1000.0
    monkeypatch.setattr(jobs_module.time, "monotonic", lambda: now)
    jobs = GalleryJobs(threading.Event())

    def fail(threads: int) -> None:
        raise error

    for wait in waits:
        jobs.begin(key, "made", fail)
        jobs.join()
        assert jobs.failure(key) == reason
        now += wait - 1
        assert jobs.busy(key)
        now += 1
        assert not jobs.busy(key)
    jobs.begin(key, "made", lambda threads: None)
    jobs.join()
    assert not jobs.busy(key)
    assert jobs.failure(key) is None


def test_a_job_that_gets_no_thread_has_failed_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    key = GalleryKey(1, "people", DIMENSION, EMBEDDER)
    now = 1000.0
    monkeypatch.setattr(jobs_module.time, "monotonic", lambda: now)
    jobs = GalleryJobs(threading.Event())
    done: list[int] = []
    with monkeypatch.context() as busy_machine:
        busy_machine.setattr(threading.Thread, "start", no_thread)
        assert not jobs.begin(key, "made", done.append)
    jobs.join()
    assert jobs.failure(key) == "can't start new thread"
    now += 5
    assert not jobs.busy(key)
    assert jobs.begin(key, "made", done.append)
    jobs.join()
    assert len(done) == 1
    assert jobs.failure(key) is None
