"""What is done again and again goes on after failures."""

from __future__ import annotations

import time

import pytest

from toonface_server.repeated import Repeated


def test_a_task_that_fails_is_said_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def task() -> None:
        done.append(len(done))
        if 2 <= done[-1] < 5:
            raise ValueError("no such figure")

    repeated = Repeated(task, 0.01, "nothing can be published")
    deadline = time.monotonic() + 20
    while len(done) < 8:
        assert time.monotonic() < deadline, "it is not tried again"
        time.sleep(0.01)
    repeated.close()
    count = len(done)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "nothing can be published" in caplog.records[0].getMessage()
    assert "no such figure" in caplog.text
    time.sleep(0.05)
    assert len(done) == count
