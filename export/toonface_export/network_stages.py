"""The two networks as Triton models: their tensors, batches, queues, and who computes them."""

from __future__ import annotations

from typing import Any

from toonface_contract import names
from toonface_contract.names import FACE_SIZE
from toonface_ensemble.placement import DetectorInput
from toonface_export.serving import Serving
from toonface_export.triton_config import OnnxRuntimeModel, OpenVinoModel, Precision, TensorRtModel
from toonface_export.triton_message import Queue, Tensor

NetworkConfig = OnnxRuntimeModel | OpenVinoModel | TensorRtModel

# Work that has been decoded and detected should not be thrown away: queues behind the detector hold this many times
# what may wait for it, and nothing waits in them for a limited time only.
_INNER_QUEUE_FACTOR = 4


def face_detection(
    serving: Serving,
    precision: Precision,
    detector_input: DetectorInput,
    anchors: int,
    name: str = names.FACE_DETECTION,
) -> NetworkConfig:
    """The detector: `detector_input` UINT8 [h,w,3] to `boxes` FP32 [A,4] and `scores` FP32 [A]."""
    return _network(
        serving,
        precision,
        name=name,
        inputs=(Tensor("detector_input", "UINT8", (detector_input.height, detector_input.width, 3)),),
        outputs=(Tensor("boxes", "FP32", (anchors, 4)), Tensor("scores", "FP32", (anchors,))),
        batches=detection_batches(serving),
        queue=edge_queue(serving),
        instances=serving.detection_instances,
        unasked="crop=whole",
    )


def face_embedding(
    serving: Serving, precision: Precision, dimension: int, name: str = names.FACE_EMBEDDING
) -> NetworkConfig:
    """The embedder: `faces` UINT8 [112,112,3] to `embedding` FP32 [D]."""
    return _network(
        serving,
        precision,
        name=name,
        inputs=(Tensor("faces", "UINT8", (FACE_SIZE, FACE_SIZE, 3)),),
        outputs=(Tensor("embedding", "FP32", (dimension,)),),
        batches=embedding_batches(serving),
        queue=inner_queue(serving),
        instances=serving.embedding_instances,
    )


def detection_batches(serving: Serving) -> tuple[int, ...]:
    """The batches that the detector is made ready for, rising: one picture, those asked for, and the largest."""
    return _batches(serving.engine.detection_batches, serving.detection_batch)


def embedding_batches(serving: Serving) -> tuple[int, ...]:
    """The batches that the embedder is made ready for, rising: one face, those asked for, and the largest."""
    return _batches(serving.engine.embedding_batches, serving.embedding_batch)


def _batches(wanted: tuple[int, ...], most: int) -> tuple[int, ...]:
    return tuple(sorted({1, most, *(batch for batch in wanted if batch < most)}))


def _network(
    serving: Serving,
    precision: Precision,
    *,
    name: str,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    batches: tuple[int, ...],
    queue: Queue,
    instances: int,
    unasked: str = "",
) -> NetworkConfig:
    tensors_and_queue: dict[str, Any] = {
        "name": name,
        "inputs": inputs,
        "outputs": outputs,
        "max_batch_size": batches[-1],
        "queue": queue,
        "instances": instances,
        "gpu": serving.target == "gpu",
    }
    if serving.backend == "tensorrt":
        return TensorRtModel(**tensors_and_queue, profiles=len(batches), warm_up=batches)
    if serving.backend == "onnxruntime":
        warm_up = tuple(sorted({batches[0], batches[-1]}))
        return OnnxRuntimeModel(**tensors_and_queue, threads=serving.threads, warm_up=warm_up, unasked=unasked)
    if precision == "f16":
        raise ValueError("OpenVINO on a CPU does not compute in f16")
    # It is compiled for one size of batch, so one request covers all.
    return OpenVinoModel(
        **tensors_and_queue, threads=serving.threads, precision=precision, warm_up=(1,), unasked=unasked
    )


def edge_queue(serving: Serving) -> Queue:
    """Where requests wait that cost little so far: before decoding, and before the detector, the slowest stage."""
    return Queue(serving.queue_size, serving.queue_timeout_ms * 1000)


def inner_queue(serving: Serving) -> Queue:
    """Where requests wait that have been detected: see `_INNER_QUEUE_FACTOR`."""
    return Queue(serving.queue_size * _INNER_QUEUE_FACTOR, batch_delay_us=serving.batch_delay_us)
