"""Prepares batches ahead, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from toonface_contract.errors import TrainingError
from toonface_training.batches import Batches, DetectionBatch, FeatureBatch
from toonface_training.processes import die_with_parent

Batch = DetectionBatch | FeatureBatch

# Batches that wait for the network, for each process that prepares them.
_AHEAD = 2
# Beyond this many, one process that learns is kept busy.
_MOST = 8


def _usual_workers() -> int:
    """How many processes prepare batches unless asked otherwise: some are left to the network."""
    return min(_MOST, max(1, len(os.sched_getaffinity(0)) // 2))


def load(batches: Batches[Any], first_step: int, last_step: int, workers: int | None) -> Iterator[Batch]:
    """The batches of steps `first_step` to `last_step - 1`, epoch after epoch.

    Args:
        batches: of one epoch.
        first_step: from 0.
        last_step: where to end.
        workers: processes that prepare them; None chooses, 0 prepares each when it is asked for.

    Raises:
        ConfigError: a picture cannot be read.
        TrainingError: a process that prepares batches died.
    """
    places = ((step // len(batches), step % len(batches)) for step in range(first_step, last_step))
    if workers is None:
        workers = _usual_workers()
    if not workers:
        for epoch, number in places:
            yield batches.batch(epoch, number)
        return
    # Spawned, not forked: a fork of a process with Paddle's threads in it may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(batches,))
    try:
        waiting: deque[Future[Batch]] = deque()
        for place in places:
            waiting.append(pool.submit(_make, place))
            if len(waiting) > workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that prepares pictures died, perhaps for want of memory; try -o Train.workers=0"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_batches: Batches[Any]


def _begin(batches: Batches[Any]) -> None:
    global _batches
    die_with_parent()
    # An interrupt is for the process that learns, which ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _batches = batches


def _make(place: tuple[int, int]) -> Batch:
    batch: Batch = _batches.batch(*place)
    return batch
