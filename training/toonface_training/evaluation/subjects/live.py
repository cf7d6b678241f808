"""A live server, asked through the public client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from toonface_client.client import DEFAULT_CONCURRENCY, ToonfaceClient
from toonface_client.concurrency import in_order
from toonface_client.connection import Connection
from toonface_contract.errors import ConfigError
from toonface_contract.names import CROP_ALIGN
from toonface_contract.options import RecognitionOptions
from toonface_training.evaluation.metrics.detection import Detections
from toonface_training.evaluation.subjects import MOST_FACES, SCORE_FLOOR, EmbeddedFaces, Pixels


class LiveServer:
    """Detector, embedder and both in one: the server's ensemble `face_features`. It changes nothing on the server.

    Args:
        connection: how to reach the server.
        concurrency: pictures to send at once.
    """

    def __init__(self, connection: Connection, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        self._connection, self._concurrency = connection, concurrency
        self._client = ToonfaceClient(connection.address, tls=connection.tls, token=connection.token)
        self.name = connection.address

    def find(self, pictures: Iterable[Pixels], threshold: float) -> Iterator[EmbeddedFaces]:
        """See `Recogniser`."""

        def ask(picture: Pixels) -> EmbeddedFaces:
            answer = self._client.features(picture, det_threshold=threshold, max_faces=MOST_FACES)
            return EmbeddedFaces(Detections(answer.boxes, answer.detection_scores), answer.embeddings)

        return in_order(ask, pictures, self._concurrency)

    def detect(self, pictures: Iterable[Pixels], threshold: float = SCORE_FLOOR) -> Iterator[Detections]:
        """See `Detector`."""
        for faces in self.find(pictures, threshold):
            yield faces.found

    def embed(self, faces: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
        """See `Embedder`."""

        def ask(face: Pixels) -> NDArray[np.float32]:
            embedding: NDArray[np.float32] = self._client.features(face, crop="whole").embeddings[0]
            return embedding

        return in_order(ask, faces, self._concurrency)

    def options(self) -> RecognitionOptions:
        """The defaults of the server's request options, from the configuration of its stage `crop_align`.

        Raises:
            Unavailable: there is no server.
            ConfigError: it serves no such stage.
        """
        self._client.ping()
        with InferenceServerClient(**self._connection.client_arguments()) as triton:
            try:
                config = triton.get_model_config(CROP_ALIGN).config
                return RecognitionOptions(**json.loads(config.parameters["options"].string_value))
            except (InferenceServerException, TypeError, ValueError) as error:
                raise ConfigError(f"the server at {self.name} is none that `toonface serve` runs: {error}") from error
