"""Calls as values: what goes to which model, and how the answer is read. Sending them is the clients' part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ValidationError
from tritonclient.grpc import InferInput, InferResult

from toonface_client.results import FeatureResult, RecognitionResult, Tensors, parse_features, parse_recognition
from toonface_contract import admin
from toonface_contract.errors import InvalidRequest, ToonfaceError
from toonface_contract.names import FACE_FEATURES, FACE_RECOGNITION, GALLERY_ADMIN
from toonface_contract.options import Crop, RecognitionOptions

T = TypeVar("T")
Answer = TypeVar("Answer", bound=BaseModel)

# gRPC's bound on one message (INT32_MAX), less room for everything that is not embeddings.
_MAX_EMBEDDING_BYTES = 2**31 - 1 - 2**28


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


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One inference call.

    Attributes:
        model: its name.
        parse: reads the answer's tensors.
        image: encoded bytes for the input `image`, apart from the other inputs since they may go through shared memory.
        inputs: the other inputs.
        parameters: request parameters.
        writes: whether the call changes something on the server: it then carries the admin token, and is not repeated
            when it may have been carried out.
    """

    model: str
    parse: Callable[[Tensors], T]
    image: bytes | None = None
    inputs: tuple[InferInput, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = False

    def arguments(self) -> dict[str, Any]:
        """The call for tritonclient's `infer`, with the image inside the message."""
        image = () if self.image is None else (_tensor("image", np.array([self.image], dtype=object)),)
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


def list_galleries() -> Call[admin.Galleries]:
    """All galleries."""
    return _admin_call(admin.ListGalleries(), admin.Galleries)


def list_faces(gallery: str, after_id: int, label: str | None) -> Call[admin.Faces]:
    """One page of a gallery's faces."""
    return _admin_call(
        _command(admin.ListFaces, gallery=gallery, after_id=after_id, limit=admin.MAX_PAGE, label=label), admin.Faces
    )


def build(gallery: str, faces: Sequence[admin.NewFace], embeddings: ArrayLike, *, replace: bool) -> Call[admin.Change]:
    """A new gallery of these faces."""
    command = _command(admin.Build, gallery=gallery, faces=list(faces), replace=replace)
    return _admin_call(command, admin.Change, _checked_embeddings(embeddings, len(faces)))


def add(gallery: str, faces: Sequence[admin.NewFace], embeddings: ArrayLike) -> Call[admin.Change]:
    """More faces for a gallery."""
    command = _command(admin.Add, gallery=gallery, faces=list(faces))
    return _admin_call(command, admin.Change, _checked_embeddings(embeddings, len(faces)))


def remove(gallery: str, ids: Sequence[int], labels: Sequence[str]) -> Call[admin.Change]:
    """Fewer faces for a gallery."""
    if not ids and not labels:
        raise InvalidRequest("nothing to remove: give ids, labels, or both", code="invalid_command")
    return _admin_call(_command(admin.Remove, gallery=gallery, ids=list(ids), labels=list(labels)), admin.Change)


def drop(gallery: str) -> Call[admin.Change]:
    """No such gallery any more."""
    return _admin_call(_command(admin.Drop, gallery=gallery), admin.Change)


def _command(kind: type[Answer], **fields: Any) -> Answer:
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{name} is {first['input']!r}: {first['msg']}", code="invalid_command") from None


def _admin_call(
    command: BaseModel, answer: type[Answer], embeddings: NDArray[np.float32] | None = None
) -> Call[Answer]:
    def parse(tensors: Tensors) -> Answer:
        try:
            return answer.model_validate_json(tensors["result"][0])
        except (KeyError, IndexError, ValidationError) as error:
            raise ToonfaceError(f"the server's answer is no {answer.__name__}: {error}") from error

    inputs = [_tensor("command", np.array([command.model_dump_json().encode()], dtype=object))]
    if embeddings is not None and len(embeddings):
        inputs.append(_tensor("embeddings", embeddings))
    return Call(GALLERY_ADMIN, parse, inputs=tuple(inputs), writes=not isinstance(command, admin.READ_ONLY))


def _checked_embeddings(embeddings: ArrayLike, faces: int) -> NDArray[np.float32]:
    """FP32 [faces, D], row by row in memory."""
    array = np.ascontiguousarray(embeddings, dtype=np.float32)
    if faces == 0 and array.size == 0:
        return array
    if array.ndim != 2 or len(array) != faces:
        raise InvalidRequest(
            f"embeddings has the shape {list(array.shape)}; for {faces} faces it must be [{faces}, dimension]",
            code="invalid_embedding",
        )
    if array.nbytes > _MAX_EMBEDDING_BYTES:
        limit = _MAX_EMBEDDING_BYTES // array[0].nbytes
        raise InvalidRequest(
            f"{faces} embeddings of length {array.shape[1]} do not fit into one message, which takes {limit}; "
            "add the rest afterwards",
            code="invalid_embedding",
        )
    return array


def _tensor(name: str, values: NDArray[Any]) -> InferInput:
    tensor = InferInput(name, list(values.shape), "BYTES" if values.dtype == object else "FP32")
    tensor.set_data_from_numpy(values)
    return tensor
