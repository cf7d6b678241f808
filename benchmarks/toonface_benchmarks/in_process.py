"""The ceiling: what the stages compute, called one after the other in one process, with no server between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_contract.names import CROP_ALIGN, FACE_DETECTION, FACE_EMBEDDING, GALLERY_SEARCH, PREPROCESS
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.decode import decode_image
from toonface_ensemble.faces import Faces, find_faces
from toonface_ensemble.matching import Identities, Probes, identify
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_gallery.live import LiveGalleries
from toonface_server.cpus import usable_cpus
from toonface_server.openvino_network import OpenVinoNetwork
from toonface_server.repository import Repository

Run = Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]


class InProcess:
    """The functions of an exported repository's stages, with the models compiled as its server compiles them.

    Args:
        repository: as exported.
        galleries: started, over the store that the server uses too.
        options: of every request.
    """

    def __init__(self, repository: Repository, galleries: LiveGalleries, options: RecognitionOptions) -> None:
        settings = {name: _parameters(repository, name) for name in (PREPROCESS, CROP_ALIGN, GALLERY_SEARCH)}
        self._detector_input = DetectorInput.model_validate_json(settings[PREPROCESS]["detector_input"])
        self._nms = NmsParameters.model_validate_json(settings[CROP_ALIGN]["nms"])
        self._most = int(settings[CROP_ALIGN]["embedder_batch"])
        defaults = RecognitionOptions(**json.loads(settings[GALLERY_SEARCH]["options"]))
        self._options = defaults.with_parameters({"gallery": options.gallery})
        self._galleries = galleries
        self._detect = _compile(repository, FACE_DETECTION, ("boxes", "scores"))
        self._embed = _compile(repository, FACE_EMBEDDING, ("embedding",))

    def recognize(self, image: bytes) -> Identities:
        """All that the ensemble does with one encoded picture. Safe to call from several threads."""
        pixels = decode_image(image)
        faces = self._find_faces(pixels, *self._detect(self._detector_input.fit(pixels)[np.newaxis]))
        (embeddings,) = self._embed(faces.crops)
        (answer,) = identify([Probes(embeddings[faces.real[:, 0]], self._options)], self._galleries.search)
        if isinstance(answer, ToonfaceError):
            raise answer
        return answer

    def _find_faces(self, pixels: NDArray[np.uint8], boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Faces:
        return find_faces(
            pixels,
            boxes[0],
            scores[0],
            detector_input=self._detector_input,
            nms=self._nms,
            options=self._options,
            most=self._most,
        )


def _parameters(repository: Repository, model: str) -> dict[str, str]:
    return {name: value.string_value for name, value in repository.configs[model].parameters.items()}


def _compile(repository: Repository, model: str, outputs: tuple[str, ...]) -> Run:
    config: Any = repository.configs[model]
    settings = _parameters(repository, model)
    (name,) = (tensor.name for tensor in config.input)
    if config.backend == "onnxruntime":
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(settings.get("intra_op_thread_count", 0)) or usable_cpus()
        path = repository.path / model / "1" / (config.default_model_filename or "model.onnx")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda batch: session.run(list(outputs), {name: batch})
    if config.backend == "openvino":
        path = repository.path / model / "1" / (config.default_model_filename or "model.xml")
        network = OpenVinoNetwork(
            path,
            outputs,
            batches=True,
            threads=int(settings.get("INFERENCE_NUM_THREADS", 0)) or usable_cpus(),
            precision=settings.get("INFERENCE_PRECISION_HINT", "auto"),
        )
        return lambda batch: list(network.run({name: batch}).values())
    raise ConfigError(f"model {model} is for the backend {config.backend!r}, which runs in Triton only")
