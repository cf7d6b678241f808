"""Runs the jobs of a long work in several processes, and goes on where an earlier run was stopped."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2

from toonface_contract.errors import ConfigError
from toonface_training.processes import die_with_parent
from toonface_training.whole_files import write_atomically


class Job(Protocol):
    """A part of the work that depends on no other; it can be pickled, and gives the same files whenever it is run."""

    @property
    def name(self) -> str:
        """Unlike that of any other job of the work; it can be a file's name."""

    def run(self, folder: Path) -> Any:
        """Write files into `folder`, and return a record of them that JSON can hold."""


def run_jobs(
    jobs: Sequence[Job], folder: Path, records: Path, processes: int, done: Callable[[], None]
) -> Iterator[Any]:
    """Run every job that has no record yet, and give the record of each, in the order of `jobs`.

    Args:
        jobs: what is to do.
        folder: where they write.
        records: folder of one file for each job that is done.
        processes: how many; with 1, all runs in this one.
        done: called after each job.

    Raises:
        ConfigError: one of the processes was ended from outside.
        OSError: something cannot be written.
    """
    records.mkdir(parents=True, exist_ok=True)
    work = partial(_run_or_recall, folder=folder, records=records)
    with ExitStack() as stack:
        if processes > 1:
            # Not forked: a progress bar's thread may be running.
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(processes, context, _begin_worker))
            stack.callback(pool.shutdown, cancel_futures=True)
            results: Iterator[Any] = pool.map(work, jobs)
        else:
            results = map(work, jobs)
        try:
            for record in results:
                done()
                yield record
        except BrokenProcessPool as error:
            raise ConfigError(
                f"one of the {processes} processes that write {folder} was ended, perhaps for want of memory; repeat "
                "the command, with fewer --processes, to go on where it stopped"
            ) from error


def _run_or_recall(job: Job, *, folder: Path, records: Path) -> Any:
    kept = records / f"{job.name}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    record = job.run(folder)
    write_atomically(kept, json.dumps(record))
    return record


def _begin_worker() -> None:
    """In each process: the processes are the parallel work, so OpenCV's threads would only get in their way.

    Ctrl-C reaches every process; the first one sees to it that the others finish what they are at, and end. If it is
    killed itself, they would wait for more work for ever.
    """
    die_with_parent()
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
