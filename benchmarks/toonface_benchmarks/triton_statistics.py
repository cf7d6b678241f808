"""Triton's own account of where requests spent their time, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonclient.grpc import InferenceServerClient

from toonface_benchmarks.triton_errors import server_errors
from toonface_contract.names import (
    CROP_ALIGN,
    FACE_DETECTION,
    FACE_EMBEDDING,
    FACE_RECOGNITION,
    GALLERY_SEARCH,
    PREPROCESS,
)

STAGES = (PREPROCESS, FACE_DETECTION, CROP_ALIGN, FACE_EMBEDDING, GALLERY_SEARCH)


@dataclass(frozen=True)
class StageTime:
    """Milliseconds that one request spends in a stage, on average: waiting, and in the stage itself."""

    stage: str
    queue: float
    compute: float


@dataclass(frozen=True)
class ModelStatistics:
    """Of one model since the server started: successful requests, and nanoseconds in the queue and in the model."""

    requests: int
    queue: int
    compute: int


def read_statistics(address: str) -> dict[str, ModelStatistics]:
    """The statistics of every model of the server at `address` (gRPC), by name.

    Raises:
        ServerError: it cannot be reached.
    """
    with server_errors(address), InferenceServerClient(address) as triton:
        models = triton.get_inference_statistics().model_stats
    return {
        model.name: ModelStatistics(
            model.inference_stats.success.count,
            model.inference_stats.queue.ns,
            model.inference_stats.compute_input.ns
            + model.inference_stats.compute_infer.ns
            + model.inference_stats.compute_output.ns,
        )
        for model in models
    }


def stage_times(before: Mapping[str, ModelStatistics], after: Mapping[str, ModelStatistics]) -> list[StageTime]:
    """What a request to the ensemble spent in each stage between two readings.

    Empty when there was no request, and when a counter went back or stood still: the readings are of two servers then,
    as behind a balancer.
    """
    requests = after[FACE_RECOGNITION].requests - before[FACE_RECOGNITION].requests
    if requests <= 0:
        return []
    found = [
        StageTime(
            stage,
            (after[stage].queue - before[stage].queue) / requests / 1e6,
            (after[stage].compute - before[stage].compute) / requests / 1e6,
        )
        for stage in STAGES
    ]
    return found if all(each.queue >= 0 and each.compute > 0 for each in found) else []
