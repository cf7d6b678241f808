"""A server of a benchmark's own: how it ends, and what is said when it does not begin."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from toonface_benchmarks import serving as module
from toonface_benchmarks.serving import enrol, serving
from toonface_benchmarks.staged_client import StagedClient
from toonface_benchmarks.sweep_cli import bench_sweep
from toonface_benchmarks.triton_statistics import read_statistics
from toonface_contract.errors import ServerError


def _command(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be the command `toonface`."""
    path = folder / "toonface"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(module, "TOONFACE", path)


def test_a_server_that_is_never_ready_is_given_up_and_killed_with_all_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _command(tmp_path, monkeypatch, "trap '' TERM; echo loading; setsid sleep 600 & echo $! > pid; wait; sleep 600")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_START_SECONDS", 3)
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.5)
    with pytest.raises(ServerError, match=rf"not ready within 3 s; its log {tmp_path}/server.log ends with:\nloading"):
        with serving(tmp_path, tmp_path):
            pass
    with suppress(psutil.NoSuchProcess):  # it has been killed, but may take a moment to go
        below = psutil.Process(int((tmp_path / "pid").read_text()))
        deadline = time.monotonic() + 60
        while below.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_server_that_ends_at_once_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path, monkeypatch, "echo no such repository; exit 3")
    with pytest.raises(ServerError, match=r"ended with status 3; its log .*\nno such repository"):
        with serving(tmp_path, tmp_path):
            pass


def test_a_gallery_that_cannot_be_enrolled_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path, monkeypatch, "echo a.jpg has no face >&2; exit 1")
    with pytest.raises(ServerError, match=r"gallery staff could not be enrolled from list.txt:\na.jpg has no face"):
        enrol("localhost:1", "staff", Path("list.txt"))


def test_a_sweep_searches_the_gallery_that_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot enrol it tells which one it was given."""
    ready = """echo '{"host": "127.0.0.1", "grpc_port": 1}' > "$7.new"; mv "$7.new" "$7"; exec sleep 600"""
    _command(tmp_path, monkeypatch, f'if [ "$1" = serve ]; then {ready}; fi; exit 1')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "staff.txt").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").touch()
    done = CliRunner().invoke(bench_sweep, ["--pictures", "pictures", "--gallery-list", "staff.txt"])
    assert isinstance(done.exception, ServerError), done.output
    assert "could not be enrolled from staff.txt" in done.exception.message


def test_a_server_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(ServerError, match="127.0.0.1:1: .*connect"):
        read_statistics("127.0.0.1:1")
    client = StagedClient("127.0.0.1:1", "default")
    with pytest.raises(ServerError, match="preprocess: .*connect"):
        client.stage_inputs(b"picture")
    client.close()
