"""The engines that are compared, each in a process of its own, so that none shares threads or memory with another."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ToonfaceError

Kind = Literal["paddle", "openvino", "onnxruntime"]

# After a measurement threads of some engines go on spinning for a while, and would be in the next one's way.
_REST_SECONDS = 0.3
# Shapes of inputs whose kernels oneDNN keeps.
_MKLDNN_CACHE = 10


@dataclass(frozen=True)
class EngineSpec:
    """What one engine is to run.

    Attributes:
        kind: who computes.
        file: the program, or the graph.
        precision: of OpenVINO, `f32` or `bf16`; INT8 is in the file.
        threads: that it may use.
        rows: one input row for each input, by name; a batch is that row many times over.
    """

    kind: Kind
    file: Path
    precision: str
    threads: int
    rows: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Turn:
    """What one turn of an engine came to.

    Attributes:
        seconds: median time of a call.
        cpu_seconds: processor time of a row, all threads together: what a busy machine runs out of.
    """

    seconds: float
    cpu_seconds: float


class Engine(AbstractContextManager["Engine"]):
    """An engine in a process of its own, which computes when it is told to and rests otherwise.

    Raises:
        ToonfaceError: the engine could not be started, or failed.
    """

    def __init__(self, spec: EngineSpec) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, spec), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def turn(self, batch: int, seconds: float) -> Turn:
        """Call it with `batch` rows for about `seconds`, but at least once.

        The first turn at a batch begins with a call that does not count: it allocates memory, and Paddle chooses
        kernels for a new shape.
        """
        self._connection.send((batch, seconds))
        turn = self._answer()
        time.sleep(_REST_SECONDS)
        return turn

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def _answer(self) -> Turn:
        try:
            answer: Turn | str = self._connection.recv()
        except EOFError as error:
            self._process.join(10)
            raise ToonfaceError(f"an engine ended with exit code {self._process.exitcode}") from error
        if isinstance(answer, str):
            raise ToonfaceError(answer)
        return answer


def _work(connection: Connection, spec: EngineSpec) -> None:
    os.dup2(2, 1)  # Paddle says on standard output which of oneDNN's kernels it considers, and that may be JSON's
    try:
        run = _OPEN[spec.kind](spec)
        connection.send(Turn(0.0, 0.0))
        batches: dict[int, dict[str, NDArray[Any]]] = {}
        while True:
            batch, seconds = connection.recv()
            if batch not in batches:
                rows = spec.rows.items()
                batches[batch] = {name: np.repeat(row[np.newaxis], batch, axis=0) for name, row in rows}
                run(batches[batch])
            connection.send(_measured(run, batches[batch], batch, seconds))
    except EOFError:
        return
    except Exception as error:  # whatever an engine raises is the caller's to hear
        connection.send(f"{spec.kind} failed on {spec.file}: {error}")


def _measured(
    run: Callable[[Mapping[str, Any]], object], inputs: Mapping[str, NDArray[Any]], batch: int, seconds: float
) -> Turn:
    times: list[float] = []
    end, processor = time.perf_counter() + seconds, time.process_time()
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - start)
    return Turn(float(np.median(times)), (time.process_time() - processor) / (len(times) * batch))


def _open_paddle(spec: EngineSpec) -> Callable[[Mapping[str, Any]], object]:
    """Paddle Inference with oneDNN, as PaddleX 3.7.2 runs it on CPUs.

    The calls are those of its `paddle_static/runner.py` in their order, with the defaults of its `pp_option.py`.
    """
    from paddle import inference

    config = inference.Config(str(spec.file), str(spec.file.with_suffix(".pdiparams")))
    config.disable_gpu()
    config.enable_mkldnn()
    config.set_mkldnn_cache_capacity(_MKLDNN_CACHE)
    config.set_cpu_math_library_num_threads(spec.threads)
    config.enable_new_ir(True)
    config.enable_new_executor()
    config.set_optimization_level(3)
    config.enable_memory_optim()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)

    def run(inputs: Mapping[str, Any]) -> object:
        for name in predictor.get_input_names():
            predictor.get_input_handle(name).copy_from_cpu(inputs[name])
        predictor.run()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]

    return run


def _open_openvino(spec: EngineSpec) -> Callable[[Mapping[str, Any]], object]:
    """As toonface's server runs it."""
    import openvino

    from toonface_server.openvino_network import OpenVinoNetwork

    outputs = [output.any_name for output in openvino.Core().read_model(spec.file).outputs]
    return OpenVinoNetwork(spec.file, outputs, batches=True, threads=spec.threads, precision=spec.precision).run


def _open_onnxruntime(spec: EngineSpec) -> Callable[[Mapping[str, Any]], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.threads
    session = onnxruntime.InferenceSession(str(spec.file), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))


_OPEN: Mapping[Kind, Callable[[EngineSpec], Callable[[Mapping[str, Any]], object]]] = {
    "paddle": _open_paddle,
    "openvino": _open_openvino,
    "onnxruntime": _open_onnxruntime,
}
