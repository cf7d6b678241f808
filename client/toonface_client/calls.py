"""Calls as values: what goes to which model, and how the answer is read. Sending them is the clients' part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferResult

from toonface_client.results import FeatureResult, RecognitionResult, Tensors, parse_features, parse_recognition
from toonface_contract.names import FACE_FEATURES, FACE_RECOGNITION
from toonface_contract.options import Crop, Group, RecognitionOptions

T = TypeVar("T")


class FeatureOptions(TypedDict, total=False):
    """Options of `face_features`; the server's own defaults hold for those left out. See `RecognitionOptions`."""

    det_threshold: float
    max_faces: int
    crop: Crop


class RecognizeOptions(FeatureOptions, total=False):
    """Options of `face_recognition`; the server's own defaults hold for those left out. See `RecognitionOptions`."""

    gallery: str
    rec_threshold: float
    topk: int
    group: Group


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One inference call.

    Attributes:
        model: its name.
        parse: reads the answer's tensors.
        image: encoded bytes for the input `image`, apart from the other inputs since they may go through shared memory.
        inputs: the other inputs.
        parameters: request parameters.
        writes: whether the call changes something on the server: it is not repeated when it may have been carried out.
    """

    model: str
    parse: Callable[[Tensors], T]
    image: bytes | None = None
    inputs: tuple[InferInput, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = False

    def arguments(self) -> dict[str, Any]:
        """The call for tritonclient's `infer`, with the image inside the message."""
        image = () if self.image is None else (input_tensor("image", np.array([self.image], dtype=object)),)
        return self.arguments_with(*image)

    def arguments_with(self, *image: InferInput) -> dict[str, Any]:
        """The call for tritonclient's `infer`, with the image as the given input."""
        return {"model_name": self.model, "inputs": [*image, *self.inputs], "parameters": dict(self.parameters)}

    def read(self, result: InferResult) -> T:
        """The answer, from what `infer` returned.

        Raises:
            ToonfaceError: the answer is not what the contract says.
        """
        names = [output.name for output in result.get_response().outputs]
        return self.parse({name: result.as_numpy(name) for name in names})


def check_options(options: Mapping[str, Any]) -> None:
    """Refuses what the server would refuse, without asking it.

    Raises:
        InvalidRequest: an option is unknown, of the wrong type or out of range.
    """
    RecognitionOptions().with_parameters(options)


def recognition(image: bytes, options: RecognizeOptions) -> Call[RecognitionResult]:
    """Who is in an encoded picture. The options must have been checked."""
    return Call(FACE_RECOGNITION, parse_recognition, image=image, parameters=options)


def features(image: bytes, options: FeatureOptions) -> Call[FeatureResult]:
    """Embeddings of the faces in an encoded picture. The options must have been checked."""
    return Call(FACE_FEATURES, parse_features, image=image, parameters=options)


def input_tensor(name: str, values: NDArray[Any]) -> InferInput:
    """An input: BYTES from objects, BOOL from booleans, FP32 from all else."""
    kind = {"O": "BYTES", "b": "BOOL"}.get(values.dtype.kind, "FP32")
    tensor = InferInput(name, list(values.shape), kind)
    tensor.set_data_from_numpy(values)
    return tensor
