"""The models of a repository: their tensors, how they batch and queue, and how the ensembles chain them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from toonface_contract import names
from toonface_contract.names import FACE_SIZE
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_export.network_stages import NetworkConfig, edge_queue, face_detection, face_embedding
from toonface_export.serving import Serving
from toonface_export.triton_config import Precision, PythonStage
from toonface_export.triton_ensemble import Ensemble, Step
from toonface_export.triton_message import Queue, Tensor

ModelConfig = PythonStage | NetworkConfig | Ensemble

_IMAGE = Tensor("image", "STRING", (1,))
_REAL = Tensor("real", "BOOL", (1,))
_FACES_OUT = (
    Tensor("face_boxes", "FP32", (-1, 4)),
    Tensor("face_scores", "FP32", (-1,)),
    Tensor("faces_found", "INT32", (1,)),
    Tensor("image_size", "INT32", (2,)),
)


@dataclass(frozen=True)
class Deployment:
    """What the configurations are made of.

    Attributes:
        detector_input: what the detector wants to see.
        anchors: boxes that the detector answers with for each picture.
        nms: how `crop_align` chooses among them.
        dimension: length of an embedding.
        embedder: digest of the embedder.
        options: defaults of the request options.
        serving: the pipeline file's `Serving`.
        detector_precision: what the detector is served in.
        embedder_precision: what the embedder is served in.
    """

    detector_input: DetectorInput
    anchors: int
    nms: NmsParameters
    dimension: int
    embedder: str
    options: RecognitionOptions
    serving: Serving
    detector_precision: Precision = "auto"
    embedder_precision: Precision = "auto"


def repository_models(deployment: Deployment) -> tuple[ModelConfig, ...]:
    """All models of a repository, stages first."""
    return (
        _preprocess(deployment),
        face_detection(
            deployment.serving, deployment.detector_precision, deployment.detector_input, deployment.anchors
        ),
        _crop_align(deployment),
        face_embedding(deployment.serving, deployment.embedder_precision, deployment.dimension),
        _gallery_search(deployment),
        _gallery_admin(deployment),
        _face_recognition(),
        _face_features(deployment.dimension),
    )


def _preprocess(deployment: Deployment) -> PythonStage:
    placed = deployment.detector_input
    return PythonStage(
        name=names.PREPROCESS,
        inputs=(_IMAGE,),
        outputs=(
            Tensor("pixels", "UINT8", (-1, -1, 3)),
            Tensor("detector_input", "UINT8", (1, placed.height, placed.width, 3)),
        ),
        max_batch_size=0,
        queue=edge_queue(deployment.serving),
        instances=deployment.serving.preprocess_instances,
        parameters={"detector_input": placed.model_dump_json(), "options": _options(deployment)},
    )


def _crop_align(deployment: Deployment) -> PythonStage:
    return PythonStage(
        name=names.CROP_ALIGN,
        inputs=(
            Tensor("pixels", "UINT8", (-1, -1, 3)),
            Tensor("boxes", "FP32", (1, deployment.anchors, 4)),
            Tensor("scores", "FP32", (1, deployment.anchors)),
        ),
        outputs=(
            Tensor("faces", "UINT8", (-1, FACE_SIZE, FACE_SIZE, 3)),
            Tensor("real", "BOOL", (-1, 1)),
            *_FACES_OUT,
        ),
        max_batch_size=0,
        queue=None,
        instances=deployment.serving.crop_align_instances,
        parameters={
            "detector_input": deployment.detector_input.model_dump_json(),
            "embedder_batch": str(deployment.serving.embedding_batch),
            "nms": deployment.nms.model_dump_json(),
            "options": _options(deployment),
        },
    )


def _gallery_search(deployment: Deployment) -> PythonStage:
    return PythonStage(
        name=names.GALLERY_SEARCH,
        inputs=(Tensor("embedding", "FP32", (deployment.dimension,)), _REAL),
        outputs=(
            Tensor("label", "STRING", (1,)),
            Tensor("labels", "STRING", (-1,)),
            Tensor("scores", "FP32", (-1,)),
            Tensor("ids", "INT64", (-1,)),
        ),
        max_batch_size=deployment.serving.search_batch,
        # A GPU's many requests are searched for together. One instance searches: limits would keep some of them waiting
        # for half a second (see `Queue`).
        queue=Queue(batch_delay_us=deployment.serving.batch_delay_us) if deployment.serving.target == "gpu" else None,
        parameters={**_embedder(deployment), "options": _options(deployment)},
    )


def _gallery_admin(deployment: Deployment) -> PythonStage:
    return PythonStage(
        name=names.GALLERY_ADMIN,
        inputs=(
            Tensor("command", "STRING", (1,)),
            Tensor("embeddings", "FP32", (-1, deployment.dimension), optional=True),
        ),
        outputs=(Tensor("result", "STRING", (1,)), Tensor("face_embeddings", "FP32", (-1, -1))),
        max_batch_size=0,
        # One instance that is quick: limits would keep calls waiting for half a second (see `Queue`). This one only
        # drops the commands that nobody waits for any more.
        queue=Queue(),
        parameters=_embedder(deployment),
    )


def _face_recognition() -> Ensemble:
    return Ensemble(
        name=names.FACE_RECOGNITION,
        inputs=(_IMAGE,),
        outputs=(
            *_FACES_OUT,
            Tensor("label", "STRING", (-1, 1)),
            Tensor("labels", "STRING", (-1, -1)),
            Tensor("scores", "FP32", (-1, -1)),
            Tensor("ids", "INT64", (-1, -1)),
        ),
        steps=(
            *_faces_to_embeddings(("real",)),
            Step(names.GALLERY_SEARCH, _same("embedding", "real"), _same("label", "labels", "scores", "ids")),
        ),
    )


def _face_features(dimension: int) -> Ensemble:
    return Ensemble(
        name=names.FACE_FEATURES,
        inputs=(_IMAGE,),
        outputs=(*_FACES_OUT, Tensor("embedding", "FP32", (-1, dimension))),
        steps=_faces_to_embeddings(()),
    )


def _faces_to_embeddings(more_of_crop_align: tuple[str, ...]) -> tuple[Step, ...]:
    """The steps that both ensembles share. The detector's `scores` are `anchor_scores` here: the search has its own."""
    detections = {"boxes": "anchor_boxes", "scores": "anchor_scores"}
    found = _same("faces", *more_of_crop_align, *(tensor.name for tensor in _FACES_OUT))
    return (
        Step(names.PREPROCESS, _same("image"), _same("pixels", "detector_input")),
        Step(names.FACE_DETECTION, _same("detector_input"), detections),
        Step(names.CROP_ALIGN, {**_same("pixels"), **detections}, found),
        Step(names.FACE_EMBEDDING, _same("faces"), _same("embedding")),
    )


def _embedder(deployment: Deployment) -> dict[str, str]:
    return {"dimension": str(deployment.dimension), "embedder": deployment.embedder}


def _options(deployment: Deployment) -> str:
    return json.dumps(deployment.options.as_dict())


def _same(*tensors: str) -> dict[str, str]:
    return {name: name for name in tensors}
