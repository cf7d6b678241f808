"""perf_analyzer over loads, on the ensemble and on each stage by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toonface_benchmarks.budget_search import most_within
from toonface_benchmarks.perf_analyzer import Load, LoadKind, Measurement, PerfAnalyzer, write_inputs
from toonface_benchmarks.staged_client import StagedClient
from toonface_benchmarks.triton_statistics import StageTime, read_statistics, stage_times
from toonface_contract.names import CROP_ALIGN, FACE_EMBEDDING, FACE_RECOGNITION, GALLERY_SEARCH, PREPROCESS

# Rows of one request to the stages that get one row for each face: about as many as a picture has faces.
FACES_A_REQUEST = 4
# Pixels that the inputs of one stage may hold in all; perf_analyzer keeps them in memory several times over.
_MOST_PIXELS = 40_000_000


@dataclass(frozen=True)
class Budget:
    """Loads of one kind that keep the 95th percentile of the latency within so many milliseconds."""

    kind: LoadKind
    p95_ms: float


_Tensors = Mapping[str, NDArray[Any] | bytes]


@dataclass(frozen=True)
class Sweep:
    """The figures of one model over rising loads.

    Attributes:
        model: its name.
        rows: of each request.
        measurements: one for each load.
        stages: of the ensemble, what a request spent in each of its stages, for each load, or nothing where that is
            not known; empty for the others.
    """

    model: str
    rows: int
    measurements: Sequence[Measurement]
    stages: Sequence[Sequence[StageTime]] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def within(self, budget_ms: float) -> Measurement | None:
        """The measurement of the highest throughput whose 95th percentile keeps within a latency; None if none does."""
        fitting = [each for each in self.measurements if each.p95 <= budget_ms]
        return max(fitting, key=lambda each: each.throughput, default=None)


def sweep(
    analyzer: PerfAnalyzer,
    pictures: Sequence[bytes],
    loads: Sequence[Load] | Budget,
    folder: Path,
    *,
    seconds: float,
    gallery: str,
    stages: bool,
    progress: Callable[[str], None],
) -> Iterator[Sweep]:
    """Put each load on the ensemble and, if `stages` are wanted, on each stage by itself.

    Args:
        analyzer: pointed at a server.
        pictures: encoded; sent in turn.
        loads: rising; or a budget: the ensemble's highest load within it is looked for, and put on the stages as well.
        folder: where perf_analyzer's inputs and reports are kept.
        seconds: of each measurement.
        gallery: that is searched; it must exist on the server.
        stages: whether they are measured by themselves, with what the server's own stages make of the pictures.
        progress: told what is going on.
    """
    inputs: dict[str, list[_Tensors]] = {FACE_RECOGNITION: [{"image": picture} for picture in pictures]}
    if stages:
        with closing(StagedClient(analyzer.address, gallery)) as client:
            inputs |= _stage_inputs(client, pictures)
    for model, requests in inputs.items():
        file = folder / f"{model}.inputs.json"
        write_inputs(requests, file)
        rows = FACES_A_REQUEST if model in (FACE_EMBEDDING, GALLERY_SEARCH) else 1
        # Only what reads options needs the gallery; the networks' backends take no parameters.
        parameters = {"gallery": gallery} if model in (FACE_RECOGNITION, GALLERY_SEARCH) else {}
        put = partial(analyzer.measure, model, file, folder=folder, seconds=seconds, batch=rows, parameters=parameters)
        times: dict[Load, list[StageTime]] = {}
        measure = partial(_measure, analyzer.address, model, put, times, progress)
        if isinstance(loads, Budget):
            measurements = most_within(measure, loads.kind, loads.p95_ms)
        else:
            measurements = [measure(load) for load in loads]
        file.unlink()  # tens of megabytes, and made anew from the pictures
        ensemble = model == FACE_RECOGNITION
        found = Sweep(model, rows, measurements, [times[each.load] for each in measurements] if ensemble else [])
        if isinstance(loads, Budget):
            best = found.within(loads.p95_ms) or measurements[0]
            loads = [best.load]
        yield found


def _measure(
    address: str,
    model: str,
    put: Callable[[Load], Measurement],
    times: dict[Load, list[StageTime]],
    progress: Callable[[str], None],
    load: Load,
) -> Measurement:
    """Put a load on a model; if it is the ensemble, note what a request spent in each stage."""
    progress(f"{model} at {load.kind} {load.value:g}")
    before = read_statistics(address)
    found = put(load)
    if model == FACE_RECOGNITION:
        times[load] = stage_times(before, read_statistics(address))
        found = of_stages(found, times[load])
    return found


def of_stages(found: Measurement, stages: Sequence[StageTime]) -> Measurement:
    """The ensemble's figures, with what a request waited for its stages and spent in them; unknown without stages.

    perf_analyzer's own tell of the wait for the ensemble alone, which has no queue.
    """
    if not stages:
        return replace(found, queue=None, compute=None)
    return replace(found, queue=sum(each.queue for each in stages), compute=sum(each.compute for each in stages))


def _stage_inputs(client: StagedClient, pictures: Sequence[bytes]) -> dict[str, list[_Tensors]]:
    """For each stage the requests that the pictures make, in the ensemble's order."""
    inputs: dict[str, list[_Tensors]] = {}
    pixels = 0
    for picture in pictures:
        for stage, tensors in client.stage_inputs(picture).items():
            if stage == CROP_ALIGN:
                pixels += tensors["pixels"].size // 3
                if pixels > _MOST_PIXELS and stage in inputs:
                    continue
            inputs.setdefault(stage, []).extend(_requests(stage, tensors))
    return inputs


def _requests(stage: str, tensors: Mapping[str, NDArray[Any]]) -> Iterator[_Tensors]:
    """perf_analyzer adds the batch dimension itself, and puts several rows into a request."""
    if stage == PREPROCESS:
        yield {name: array.item() for name, array in tensors.items()}
    elif stage == CROP_ALIGN:
        yield tensors
    else:
        for row in range(len(next(iter(tensors.values())))):
            yield {name: array[row] for name, array in tensors.items()}
