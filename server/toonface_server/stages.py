"""The Python processes of the stages: which there are, and which have died."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

_STUB = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class StageProcess:
    """The Python process of one instance of a model."""

    model: str
    process: psutil.Process

    @property
    def dead(self) -> bool:
        """Whether it has ended. Triton does not collect it, so it may stay in the process table."""
        return not lives(self.process.pid)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        try:
            self.process.kill()
        except psutil.NoSuchProcess:
            pass  # it has ended by itself


def lives(process: int) -> bool:
    """Whether a process has not ended; one that has may stay in the process table."""
    try:
        return psutil.Process(process).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def stage_processes(server: int) -> list[StageProcess]:
    """The living stage processes of a tritonserver.

    The last two words of a stub's command line are `<model>_<group>_<instance>` and the model's folder at run time
    (python_backend, stub_launcher.cc).

    Args:
        server: process id of tritonserver.
    """
    found = []
    try:
        children = psutil.Process(server).children()
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            words = child.cmdline()
        except psutil.Error:
            continue  # it ended while we looked
        if words and words[0].endswith(_STUB):
            found.append(StageProcess(words[-2].rsplit("_", 2)[0], child))
    return found
