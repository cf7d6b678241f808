"""NVIDIA's perf_analyzer: the real binary, run over loads, and its figures."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError, ServerError

# perf_analyzer measures until three windows in a row agree, and reports the three together. Here any three agree: a run
# has a known length then, unless a window stays empty, which more trials make up for.
_WINDOWS = 3
_TRIALS = 10
_STABILITY_PERCENT = 999
# A window of a low rate would be empty, or hold a request or two.
_REQUESTS_A_WINDOW = 10
# No request spends an hour in a server. perf_analyzer's differences have no sign; a negative one comes out as more.
_MOST_SERVER_MS = 3_600_000

LoadKind: TypeAlias = Literal["concurrency", "rate"]


@dataclass(frozen=True)
class Load:
    """What is asked of a server: so many requests in flight, or so many requests a second.

    Attributes:
        kind: `concurrency`, or `rate` with the times between requests drawn from an exponential distribution.
        value: requests in flight, or requests a second.
    """

    kind: LoadKind
    value: float

    def arguments(self) -> list[str]:
        """perf_analyzer's options for it."""
        if self.kind == "concurrency":
            return ["--concurrency-range", f"{self.value:g}"]
        return ["--request-rate-range", f"{self.value:g}", "--request-distribution", "poisson"]


@dataclass(frozen=True)
class Measurement:
    """perf_analyzer's figures of one load; times in milliseconds.

    Attributes:
        load: what was asked.
        throughput: answered rows a second; of a model that does not batch, requests.
        p50, p90, p95, p99: latency at the client.
        queue: waiting in the server, averaged; of an ensemble itself, not of its stages. None where it is not known.
        compute: in the models, averaged; of an ensemble the sum over its stages. None where it is not known.
    """

    load: Load
    throughput: float
    p50: float
    p90: float
    p95: float
    p99: float
    queue: float | None
    compute: float | None


class PerfAnalyzer:
    """A binary of perf_analyzer, pointed at one server."""

    def __init__(self, binary: Path, address: str) -> None:
        """Use `binary` against the gRPC endpoint `address`.

        Raises:
            ConfigError: there is no such program; the message says how to get it.
        """
        found = shutil.which(binary)
        if found is None:
            raise ConfigError(f"perf_analyzer is not at {binary}; `make perf-analyzer` brings it")
        self._binary = Path(found).absolute()
        self.address = address

    def measure(
        self,
        model: str,
        inputs: Path,
        load: Load,
        folder: Path,
        *,
        seconds: float,
        batch: int = 1,
        parameters: Mapping[str, str] | None = None,
    ) -> Measurement:
        """Put one load on a model.

        One thread sends all requests. Of several each starts at an input of its own and goes on by as many as there are
        threads (perf_analyzer's `InferContext::UpdateJsonData`): of four threads and 20 inputs each would send its own
        five, and the one with the quickest would send the most.

        Args:
            model: its name.
            inputs: what `write_inputs` wrote.
            load: to put on it.
            folder: where perf_analyzer's CSV report is kept.
            seconds: length of the measurement; longer at low rates.
            batch: rows of each request.
            parameters: request parameters, strings by name.

        Raises:
            ServerError: perf_analyzer failed; the message ends with what it said.
        """
        report = folder / f"{model}-{load.kind}-{load.value:g}.csv"
        command: list[str | Path] = [self._binary, "-m", model, "-u", self.address, "-i", "grpc", "-b", str(batch)]
        command += ["--input-data", inputs, "-f", report, "--verbose-csv", *load.arguments()]
        command += [
            "--measurement-interval",
            f"{1000 * _window_seconds(load, seconds):.0f}",
            "--stability-percentage",
            str(_STABILITY_PERCENT),
        ]
        command += ["--max-trials", str(_TRIALS), "--async", "--max-threads", "1", "--percentile", "95"]
        for name, value in (parameters or {}).items():
            command += ["--request-parameter", f"{name}:{value}:string"]
        libraries = os.pathsep.join(filter(None, [str(self._binary.parent), os.environ.get("LD_LIBRARY_PATH")]))
        report.unlink(missing_ok=True)
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, env={**os.environ, "LD_LIBRARY_PATH": libraries}
        )
        if done.returncode or not report.exists():
            said = (done.stdout + done.stderr).strip().splitlines()
            raise ServerError(f"perf_analyzer on {model} at {load.kind} {load.value:g}: {' / '.join(said[-3:])}")
        return read_report(report, load)


def _window_seconds(load: Load, seconds: float) -> float:
    """A window's length: its part of the measurement, or what a rate needs for a few requests in it."""
    window = seconds / _WINDOWS
    return max(window, _REQUESTS_A_WINDOW / load.value) if load.kind == "rate" else window


def read_report(path: Path, load: Load) -> Measurement:
    """The figures in one of perf_analyzer's CSV reports, which are in microseconds.

    The times in the server are differences of its counters. Behind a balancer those of two servers may be subtracted:
    times of nothing, or beyond all measure, are left out.

    Raises:
        ServerError: it has no figures, as when no request was answered.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ServerError(f"perf_analyzer's report {path} has no figures: no request was answered")
    row = rows[-1]

    def milliseconds(*columns: str) -> float:
        return sum(float(row.get(column) or 0) for column in columns) / 1000

    queue = milliseconds("Server Queue")
    compute = milliseconds("Server Compute Input", "Server Compute Infer", "Server Compute Output")
    known = 0 < compute and queue + compute < _MOST_SERVER_MS
    return Measurement(
        load,
        throughput=float(row["Inferences/Second"]),
        p50=milliseconds("p50 latency"),
        p90=milliseconds("p90 latency"),
        p95=milliseconds("p95 latency"),
        p99=milliseconds("p99 latency"),
        queue=queue if known else None,
        compute=compute if known else None,
    )


def write_inputs(requests: Iterable[Mapping[str, NDArray[Any] | bytes]], path: Path) -> None:
    """Write the file of inputs, which perf_analyzer sends in turn and from the first again, in every load alike.

    Args:
        requests: for each, its tensors by name: arrays without the batch dimension of batching models, or the only
            element of a BYTES tensor.
        path: of the JSON file.
    """
    data = [{name: _tensor(value) for name, value in request.items()} for request in requests]
    path.write_text(json.dumps({"data": data}))


def _tensor(value: NDArray[Any] | bytes) -> dict[str, Any]:
    if isinstance(value, bytes):
        # Elements of BYTES tensors come with their length in four bytes before them.
        raw, shape = len(value).to_bytes(4, "little") + value, [1]
    else:
        raw, shape = np.ascontiguousarray(value).tobytes(), list(value.shape)
    return {"content": {"b64": base64.b64encode(raw).decode()}, "shape": shape}
