"""A network compiled by OpenVINO for a CPU that serves one request at a time now, and many the next moment.

One row that is alone is computed by all threads together, which gives the shortest answer. Several rows run side by
side, a stream and one thread for each, which gives the most answers: threads that share one row's layers wait for each
other. On two cores the demo's detector took 15.4 ms by two threads together and 17.9 ms by one: 65 pictures a second
against 105. Where several processes serve one network, each keeps to its share of the threads while another computes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino as ov

from toonface_server.batching import Arrays
from toonface_server.cpus import computed_precision
from toonface_server.siblings import Siblings

PRECISIONS = ("auto", "f32", "bf16")


class OpenVinoNetwork:
    """A compiled network. Safe to call from several threads."""

    def __init__(
        self,
        file: Path,
        outputs: Sequence[str],
        *,
        batches: bool,
        threads: int,
        precision: str,
        share: int | None = None,
    ) -> None:
        """Compile a model file.

        Args:
            file: ONNX or OpenVINO's own format.
            outputs: names of the outputs that `run` answers with.
            batches: whether the first dimension of every input counts rows that do not depend on each other.
            threads: to use in all, 1 or more.
            precision: `f32`, `bf16`, or `auto`: bf16 on processors on which it is faster.
            share: threads to use while another instance of the file computes; None where there is no other.
        """
        core = ov.Core()
        network = core.read_model(file)
        if batches:
            network.reshape({tensor.any_name: [1, *list(tensor.partial_shape)[1:]] for tensor in network.inputs})
        self._outputs = tuple(outputs)
        self._batches = batches
        properties = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": inference_precision(precision),
            # Each stage would pin its threads to the same first CPUs.
            "ENABLE_CPU_PINNING": False,
        }
        self._together = _requests(core, network, {**properties, "NUM_STREAMS": 1})
        self._side_by_side = self._together
        if batches and threads > 1:
            self._side_by_side = _requests(core, network, {**properties, "NUM_STREAMS": threads})
        self._threads, self._share = threads, threads if share is None else min(share, threads)
        self._siblings = None if self._share == threads else Siblings(file)
        self._by_share = self._side_by_side if self._share == 1 else self._together
        if 1 < self._share < threads:
            by_share = {**properties, "INFERENCE_NUM_THREADS": self._share, "NUM_STREAMS": 1}
            self._by_share = _requests(core, network, by_share)
        self._rows = 0  # in flight
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """The outputs for a batch: arrays [n, ...] for inputs [n, ...], each row computed by itself."""
        rows: list[Mapping[str, Any]] = [inputs]
        if self._batches:
            count = len(next(iter(inputs.values())))
            rows = [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(count)]
        computing = nullcontext(True) if self._siblings is None else self._siblings.computing()
        with self._in_flight(len(rows)) as lone, computing as alone:
            threads = self._threads if alone else self._share
            one = self._together if alone else self._by_share
            answers = _run_all(rows, one if lone else self._side_by_side, self._outputs, threads)
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._outputs}

    @contextmanager
    def _in_flight(self, rows: int) -> Iterator[bool]:
        """Counts rows while they are computed; yields whether it is a single one."""
        with self._lock:
            self._rows += rows
            lone = self._rows == 1
        try:
            yield lone
        finally:
            with self._lock:
                self._rows -= rows


def inference_precision(asked: str) -> str:
    """OpenVINO's name of the precision to compute in; `auto` looks at the processor.

    Raises:
        ValueError: it is none of `PRECISIONS`.
    """
    if asked not in PRECISIONS:
        raise ValueError(f"parameter INFERENCE_PRECISION_HINT is {asked!r}; it must be one of {', '.join(PRECISIONS)}")
    return computed_precision(asked)


def _requests(core: Any, network: Any, properties: Mapping[str, Any]) -> SimpleQueue[Any]:
    """The idle inference requests of a freshly compiled network, one a stream."""
    compiled = core.compile_model(network, "CPU", properties)
    idle: SimpleQueue[Any] = SimpleQueue()
    for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
        idle.put(compiled.create_infer_request())
    return idle


def _run_all(
    rows: Sequence[Mapping[str, Any]], idle: SimpleQueue[Any], outputs: Sequence[str], most: int
) -> list[Arrays]:
    """Compute rows with the requests that are idle, at most so many at a time; answers in the rows' order."""
    answers: list[Arrays] = []
    started: deque[Any] = deque()

    def finish() -> Any:
        request = started[0]
        request.wait()
        # Copies: the request's next row is written over these.
        answers.append({name: request.get_tensor(name).data.copy() for name in outputs})
        return started.popleft()

    try:
        for row in rows:
            try:
                request = finish() if len(started) >= most else idle.get(block=not started)
            except Empty:
                request = finish()
            started.append(request)
            request.start_async(row, share_inputs=True)
        while started:
            idle.put(finish())
    finally:
        for request in started:  # only after a failure
            with suppress(Exception):
                request.wait()
            idle.put(request)
    return answers
