"""From `toonface serve` to the first right answer, the server's memory, and the time that a dead stage is missed."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import psutil

from toonface_benchmarks.ensemble import GALLERY
from toonface_benchmarks.load import closed_loop
from toonface_benchmarks.serving import enrol, serving
from toonface_benchmarks.triton_statistics import STAGES
from toonface_client import RecognitionResult, RetryPolicy, ToonfaceClient
from toonface_contract.errors import ServerError, ToonfaceError
from toonface_contract.names import GALLERY_ADMIN
from toonface_server.stages import stage_processes

# An answer is right if its faces have the same names and lie within so many pixels of where they were before.
_MOST_PIXELS = 0.5
_REPAIR_SECONDS = 120.0


@dataclass(frozen=True)
class StartupReport:
    """What `toonface bench startup` found.

    Attributes:
        ready_seconds: from the command to its canary's answer.
        first_answer_seconds: from the command to the answer of a client that asks as soon as it may.
        idle_mb: memory of all processes after start-up, in MB; what they share counts once.
        peak_mb: the largest such sum, looked at ten times a second, under load at concurrency 8.
        repair_seconds: for each stage, from the kill to the next right answer.
    """

    ready_seconds: float
    first_answer_seconds: float
    idle_mb: float
    peak_mb: float
    repair_seconds: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(
    repository: Path, pictures: Sequence[bytes], gallery_list: Path, *, seconds: float, progress: Callable[[str], None]
) -> StartupReport:
    """Start a server, load it for `seconds`, and kill each of its stages once.

    Args:
        repository: an exported repository.
        pictures: encoded; at least one with a face.
        gallery_list: PaddleX list of the gallery to search.
        seconds: of load, for the peak of memory.
        progress: told what is going on.
    """
    progress("starting")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, serving(repository, Path(scratch)) as server:
        with ToonfaceClient(server.address, timeout=60) as client:
            client.recognize(pictures[0])
            first_answer = time.perf_counter() - start
            idle = server.memory()
            enrol(server.address, GALLERY, gallery_list)
            progress("memory under load")
            peak = _peak_memory(server.memory, lambda: _load(client, pictures, seconds))
        (triton,) = (
            child for child in psutil.Process(server.process.pid).children() if child.name().startswith("triton")
        )
        repairs = {}
        for stage in (*STAGES, GALLERY_ADMIN):
            progress(f"killing {stage}")
            repairs[stage] = _repair_seconds(server.address, triton.pid, stage, pictures[0])
        return StartupReport(server.seconds, first_answer, idle / 1e6, peak / 1e6, repairs)


def _load(client: ToonfaceClient, pictures: Sequence[bytes], seconds: float) -> None:
    closed_loop(lambda picture: client.recognize(picture, gallery=GALLERY), pictures, concurrency=8, seconds=seconds)


def _peak_memory(memory: Callable[[], int], work: Callable[[], None]) -> int:
    """The largest memory seen while `work` runs."""
    peak = memory()
    running = threading.Thread(target=work)
    running.start()
    while running.is_alive():
        peak = max(peak, memory())
        running.join(0.1)
    return peak


def _repair_seconds(address: str, triton: int, stage: str, picture: bytes) -> float:
    """Kill all processes of a stage, and ask without the client's own retries until an answer is as it was before.

    Raises:
        ServerError: that takes too long.
    """
    with ToonfaceClient(address, timeout=10, retry=RetryPolicy(attempts=1)) as client:
        before, galleries = client.recognize(picture, gallery=GALLERY), client.galleries()
        for victim in (found for found in stage_processes(triton) if found.model == stage):
            victim.kill()
        start = time.perf_counter()
        while (passed := time.perf_counter() - start) < _REPAIR_SECONDS:
            try:
                if same(client.recognize(picture, gallery=GALLERY), before) and client.galleries() == galleries:
                    return time.perf_counter() - start
            except ToonfaceError:
                pass
            time.sleep(0.02)
    raise ServerError(f"{stage} was killed, and no answer was right again within {passed:.0f} s")


def same(one: RecognitionResult, other: RecognitionResult) -> bool:
    """Whether two answers to a picture name the same faces in the same places."""
    return len(one.faces) == len(other.faces) and all(
        mine.label == theirs.label
        and max(abs(a - b) for a, b in zip(astuple(mine.box), astuple(theirs.box), strict=True)) <= _MOST_PIXELS
        for mine, theirs in zip(one.faces, other.faces, strict=True)
    )
