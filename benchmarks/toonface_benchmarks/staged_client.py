"""A client that calls the stages one by one: what an ensemble saves is what this sends to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from toonface_contract.names import CROP_ALIGN, FACE_DETECTION, FACE_EMBEDDING, GALLERY_SEARCH, PREPROCESS

_Tensors = Mapping[str, NDArray[Any]]


class StagedClient:
    """Client of the stages of one server, over one gRPC channel. Safe to use from several threads."""

    def __init__(self, address: str, gallery: str) -> None:
        self._client = InferenceServerClient(address)
        self._gallery = gallery

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def recognize(self, picture: bytes) -> _Tensors:
        """Who is in an encoded picture: all that `face_recognition` answers, by five calls."""
        image = np.array([picture], dtype=object)
        prepared = self._call(PREPROCESS, {"image": image})
        anchors = self._call(FACE_DETECTION, {"detector_input": prepared["detector_input"]})
        found = self._call(CROP_ALIGN, {"pixels": prepared["pixels"], **anchors})
        embedded = self._call(FACE_EMBEDDING, {"faces": found["faces"]})
        probes = {"embedding": embedded["embedding"], "real": found["real"]}
        named = self._call(GALLERY_SEARCH, probes, gallery=self._gallery)
        return {**found, **named}

    def _call(self, model: str, tensors: _Tensors, **parameters: str) -> _Tensors:
        inputs = []
        for name, values in tensors.items():
            tensor = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
            tensor.set_data_from_numpy(values)
            inputs.append(tensor)
        answer = self._client.infer(model, inputs, parameters=parameters)
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
