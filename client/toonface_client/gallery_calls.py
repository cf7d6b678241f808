"""Calls about galleries as values: the commands of `gallery_admin`, and searches with ready embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ValidationError

from toonface_client.calls import Call, input_tensor
from toonface_client.results import Match, Tensors, parse_matches
from toonface_contract import admin
from toonface_contract.errors import InvalidRequest, ToonfaceError
from toonface_contract.names import GALLERY_ADMIN, GALLERY_SEARCH
from toonface_contract.options import Group

Answer = TypeVar("Answer", bound=BaseModel)

# gRPC's bound on one message (INT32_MAX), less room for everything that is not embeddings.
_MAX_EMBEDDING_BYTES = 2**31 - 1 - 2**28


@dataclass(frozen=True, slots=True, eq=False)
class FacePage:
    """Some N faces of a gallery, in the order of their ids.

    Attributes:
        faces: N faces.
        embeddings: FP32 [N, D], of unit length, where they were asked for.
        next_after_id: what to ask for next, or None on the last page.
        sequence: the store's last change when the page was read.
    """

    faces: list[admin.FaceInfo]
    embeddings: NDArray[np.float32] | None
    next_after_id: int | None
    sequence: int


def list_galleries() -> Call[admin.Galleries]:
    """All galleries."""
    return _admin_call(admin.ListGalleries(), admin.Galleries)


def list_faces(
    gallery: str,
    *,
    after_id: int = 0,
    label: str | None = None,
    ids: Sequence[int] | None = None,
    embeddings: bool = False,
) -> Call[FacePage]:
    """One page of a gallery's faces."""
    command = _command(
        admin.ListFaces,
        gallery=gallery,
        after_id=after_id,
        limit=admin.MAX_PAGE,
        label=label,
        ids=None if ids is None else list(ids),
        embeddings=embeddings,
    )

    def parse(tensors: Tensors) -> FacePage:
        page = _parsed(tensors, admin.Faces)
        vectors = tensors.get("face_embeddings") if embeddings else None
        if embeddings and (vectors is None or vectors.ndim != 2 or len(vectors) != len(page.faces)):
            raise ToonfaceError(f"the server's answer has {len(page.faces)} faces, and not as many embeddings")
        return FacePage(page.faces, vectors, page.next_after_id, page.sequence)

    return Call(GALLERY_ADMIN, parse, inputs=_inputs(command))


def stats(gallery: str) -> Call[admin.GalleryStats]:
    """A gallery in figures."""
    return _admin_call(_command(admin.Stats, gallery=gallery), admin.GalleryStats)


def verify(gallery: str, after_id: int) -> Call[admin.Verification]:
    """Whether a page of what is stored of a gallery is sound."""
    return _admin_call(_command(admin.Verify, gallery=gallery, after_id=after_id), admin.Verification)


def build(
    gallery: str,
    faces: Sequence[admin.NewFace],
    embeddings: ArrayLike,
    *,
    replace: bool = False,
    embedder: str | None = None,
    index: admin.IndexSettings | None = None,
    dry_run: bool = False,
) -> Call[admin.Change]:
    """A new gallery of these faces."""
    command = _command(
        admin.Build,
        gallery=gallery,
        faces=list(faces),
        replace=replace,
        embedder=embedder,
        index=index,
        dry_run=dry_run,
    )
    return _admin_call(command, admin.Change, _checked_embeddings(embeddings, len(faces)))


def add(
    gallery: str,
    faces: Sequence[admin.NewFace],
    embeddings: ArrayLike,
    *,
    embedder: str | None = None,
    index: admin.IndexSettings | None = None,
    dry_run: bool = False,
) -> Call[admin.Change]:
    """More faces for a gallery."""
    command = _command(admin.Add, gallery=gallery, faces=list(faces), embedder=embedder, index=index, dry_run=dry_run)
    return _admin_call(command, admin.Change, _checked_embeddings(embeddings, len(faces)))


def update(
    gallery: str,
    faces: Sequence[admin.FaceUpdate],
    embeddings: ArrayLike | None,
    *,
    embedder: str | None = None,
    dry_run: bool = False,
) -> Call[admin.Change]:
    """Other labels, sources, qualities or embeddings for faces of a gallery."""
    command = _command(admin.Update, gallery=gallery, faces=list(faces), embedder=embedder, dry_run=dry_run)
    checked = None if embeddings is None else _checked_embeddings(embeddings, len(faces))
    return _admin_call(command, admin.Change, checked)


def update_label(
    gallery: str,
    label: str,
    *,
    set_label: str | None = None,
    set_source: str | None = None,
    dry_run: bool = False,
) -> Call[admin.Change]:
    """Another label or source for all faces with a label."""
    command = _command(
        admin.UpdateLabel, gallery=gallery, label=label, set_label=set_label, set_source=set_source, dry_run=dry_run
    )
    return _admin_call(command, admin.Change)


def remove(gallery: str, ids: Sequence[int], labels: Sequence[str], *, dry_run: bool = False) -> Call[admin.Change]:
    """Fewer faces for a gallery."""
    if not ids and not labels:
        raise InvalidRequest("nothing to remove: give ids, labels, or both", code="invalid_command")
    command = _command(admin.Remove, gallery=gallery, ids=list(ids), labels=list(labels), dry_run=dry_run)
    return _admin_call(command, admin.Change)


def configure(gallery: str, index: admin.IndexSettings, *, dry_run: bool = False) -> Call[admin.Change]:
    """Another index for a gallery."""
    return _admin_call(_command(admin.Configure, gallery=gallery, index=index, dry_run=dry_run), admin.Change)


def rename(
    gallery: str, to: str, *, replace: bool = False, unchanged_since: int | None = None, dry_run: bool = False
) -> Call[admin.Change]:
    """Another name for a gallery."""
    command = _command(
        admin.Rename, gallery=gallery, to=to, replace=replace, unchanged_since=unchanged_since, dry_run=dry_run
    )
    return _admin_call(command, admin.Change)


def drop(gallery: str, *, dry_run: bool = False) -> Call[admin.Change]:
    """No such gallery any more."""
    return _admin_call(_command(admin.Drop, gallery=gallery, dry_run=dry_run), admin.Change)


def search(
    gallery: str, embeddings: NDArray[np.float32], topk: int, group: Group = "face"
) -> Call[list[tuple[Match, ...]]]:
    """The enrolled faces or labels nearest to each embedding FP32 [N, D]; N is at most the stage's largest batch."""
    inputs = (input_tensor("embedding", embeddings), input_tensor("real", np.ones((len(embeddings), 1), np.bool_)))
    # Nothing is decided here; with the server's threshold its metrics would count strangers.
    parameters: dict[str, Any] = {"gallery": gallery, "topk": topk, "rec_threshold": 0.0}
    if group != "face":  # which older servers do not know, and do anyway
        parameters["group"] = group
    return Call(GALLERY_SEARCH, parse_matches, inputs=inputs, parameters=parameters)


def checked_rows(embeddings: ArrayLike) -> NDArray[np.float32]:
    """FP32 [N, D], row by row in memory.

    Raises:
        InvalidRequest: `invalid_embedding`, it has another number of axes.
    """
    array = np.ascontiguousarray(embeddings, dtype=np.float32)
    if array.ndim != 2:
        raise InvalidRequest(
            f"embeddings has the shape {list(array.shape)}; it must be [N, dimension]", code="invalid_embedding"
        )
    return array


def _command(kind: type[Answer], **fields: Any) -> Answer:
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or kind.model_fields["op"].default
        message = first["msg"].removeprefix("Value error, ")
        text = f"{name} is {first['input']!r}: {message}" if first["loc"] else f"{name}: {message}"
        raise InvalidRequest(text, code="invalid_command") from None


def _admin_call(
    command: admin.Command, answer: type[Answer], embeddings: NDArray[np.float32] | None = None
) -> Call[Answer]:
    return Call(
        GALLERY_ADMIN,
        lambda tensors: _parsed(tensors, answer),
        inputs=_inputs(command, embeddings),
        writes=not isinstance(command, admin.READ_ONLY),
    )


def _inputs(command: admin.Command, embeddings: NDArray[np.float32] | None = None) -> tuple[Any, ...]:
    # Without what is as usual, which an older server may not know.
    fields = {"op": command.op, **command.model_dump(mode="json", exclude_defaults=True)}
    tensors = [input_tensor("command", np.array([json.dumps(fields).encode()], object))]
    if embeddings is not None and len(embeddings):
        tensors.append(input_tensor("embeddings", embeddings))
    return tuple(tensors)


def _parsed(tensors: Tensors, answer: type[Answer]) -> Answer:
    try:
        return answer.model_validate_json(tensors["result"][0])
    except (KeyError, IndexError, ValidationError) as error:
        raise ToonfaceError(f"the server's answer is no {answer.__name__}: {error}") from error


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
