"""A client that calls the stages one by one: what an ensemble saves is what this sends to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from toonface_benchmarks.triton_errors import server_errors
from toonface_contract.names import CROP_ALIGN, FACE_DETECTION, FACE_EMBEDDING, GALLERY_SEARCH, PREPROCESS

_Tensors = Mapping[str, NDArray[Any]]


class StagedClient:
    """Client of the stages of one server, over one gRPC channel. Safe to use from several threads.

    Its calls raise a ServerError where a stage refuses, or the server cannot be reached.
    """

    def __init__(self, address: str, gallery: str) -> None:
        self._client = InferenceServerClient(address)
        self._gallery = gallery

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def recognize(self, picture: bytes) -> _Tensors:
        """Who is in an encoded picture: all that `face_recognition` answers, by five calls."""
        given, found = self._to_the_search(picture)
        named = self._call(GALLERY_SEARCH, given[GALLERY_SEARCH], gallery=self._gallery)
        return {**found, **named}

    def stage_inputs(self, picture: bytes) -> dict[str, _Tensors]:
        """What each stage gets for an encoded picture, by stage in the ensemble's order; of those that batch, all rows.

        Four calls find it out: the search is not called.
        """
        given, _ = self._to_the_search(picture)
        return given

    def _to_the_search(self, picture: bytes) -> tuple[dict[str, _Tensors], _Tensors]:
        """Calls the stages before the search; what each of the five gets, and what `crop_align` answered."""
        given: dict[str, _Tensors] = {PREPROCESS: {"image": np.array([picture], dtype=object)}}
        prepared = self._call(PREPROCESS, given[PREPROCESS])
        given[FACE_DETECTION] = {"detector_input": prepared["detector_input"]}
        anchors = self._call(FACE_DETECTION, given[FACE_DETECTION])
        given[CROP_ALIGN] = {"pixels": prepared["pixels"], **anchors}
        found = self._call(CROP_ALIGN, given[CROP_ALIGN])
        given[FACE_EMBEDDING] = {"faces": found["faces"]}
        embedded = self._call(FACE_EMBEDDING, given[FACE_EMBEDDING])
        given[GALLERY_SEARCH] = {"embedding": embedded["embedding"], "real": found["real"]}
        return given, found

    def _call(self, model: str, tensors: _Tensors, **parameters: str) -> _Tensors:
        inputs = []
        for name, values in tensors.items():
            tensor = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
            tensor.set_data_from_numpy(values)
            inputs.append(tensor)
        with server_errors(model):
            answer = self._client.infer(model, inputs, parameters=parameters)
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
