import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from toonface_contract.errors import ConfigError
from toonface_training.dataset.jobs import run_jobs
from toonface_training.whole_files import write_atomically


@dataclass(frozen=True)
class Noted:
    """A job that notes down each time it is run; -1 ends its process, and 20 fails while there is a file `broken`."""

    number: int

    @property
    def name(self) -> str:
        return f"noted-{self.number}"

    def run(self, folder: Path) -> Any:
        if self.number == -1:
            os._exit(1)
        if self.number == 20 and (folder / "broken").exists():
            raise ArithmeticError
        with (folder / self.name).open("a") as notes:
            notes.write("run\n")
        return self.number


def test_a_run_of_two_processes_that_was_stopped_goes_on_with_what_is_left(tmp_path: Path) -> None:
    jobs = [Noted(number) for number in range(40)]
    (tmp_path / "broken").touch()
    with pytest.raises(ArithmeticError):
        list(run_jobs(jobs, tmp_path, tmp_path / "records", 2, done=lambda: None))
    (tmp_path / "broken").unlink()
    steps: list[None] = []
    assert list(run_jobs(jobs, tmp_path, tmp_path / "records", 2, done=lambda: steps.append(None))) == list(range(40))
    assert len(steps) == 40
    assert {(tmp_path / job.name).read_text() for job in jobs} == {"run\n"}


def test_a_process_that_was_ended_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"one of the 2 processes that write {tmp_path} was ended"):
        list(run_jobs([Noted(1), Noted(-1)], tmp_path, tmp_path / "records", 2, done=lambda: None))


@dataclass(frozen=True)
class Resting:
    """A job that says which process it is in, and then takes long."""

    name: str

    def run(self, folder: Path) -> Any:
        (folder / f"{self.name}.pid").write_text(str(os.getpid()))
        time.sleep(600)


def test_the_processes_end_when_the_first_one_is_killed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from test_jobs import Resting, run_jobs; "
        f"folder = Path({str(tmp_path)!r}); jobs = [Resting('one'), Resting('two')]; "
        "list(run_jobs(jobs, folder, folder / 'records', 2, done=lambda: None))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as first:
        notes = [tmp_path / "one.pid", tmp_path / "two.pid"]
        wait_until(lambda: all(note.exists() and note.read_text() for note in notes))
        first.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(runs(int(note.read_text())) for note in notes))


def runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_of_a_file_that_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / f"list.txt.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(tmp_path / "list.txt", "text")
    assert not list(tmp_path.iterdir())
