"""Commands of the `gallery_admin` model and what it answers.

A command is one JSON object in the BYTES tensor `command`; embeddings, where a command takes them, are the rows of the
optional FP32 tensor `embeddings` [N, D]. The answer is one JSON object in the BYTES tensor `result`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from toonface_contract.options import GALLERY_NAME

GalleryName = Annotated[str, StringConstraints(pattern=f"^{GALLERY_NAME.pattern}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=256, strip_whitespace=True)]
Source = Annotated[str, StringConstraints(max_length=1024)]

MAX_PAGE = 10_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewFace(_Strict):
    """One face to enrol; its embedding is the row of `embeddings` with the same position."""

    label: Label
    source: Source = ""


class Build(_Strict):
    """Make a gallery of the given faces, in one transaction. With `replace`, an existing one gives way to it."""

    op: Literal["build"] = "build"
    gallery: GalleryName
    faces: list[NewFace] = []
    replace: bool = False


class Add(_Strict):
    """Enrol faces into an existing gallery, all or none."""

    op: Literal["add"] = "add"
    gallery: GalleryName
    faces: list[NewFace] = Field(min_length=1)


class Remove(_Strict):
    """Remove faces by id or by label, all or none. An id or label that is not there is an error."""

    op: Literal["remove"] = "remove"
    gallery: GalleryName
    ids: list[int] = []
    labels: list[Label] = []


class Drop(_Strict):
    """Remove a gallery and all its faces."""

    op: Literal["drop"] = "drop"
    gallery: GalleryName


class ListGalleries(_Strict):
    """All galleries."""

    op: Literal["list_galleries"] = "list_galleries"


class ListFaces(_Strict):
    """One page of a gallery's faces, in the order of their ids."""

    op: Literal["list_faces"] = "list_faces"
    gallery: GalleryName
    after_id: int = 0
    limit: int = Field(default=1000, ge=1, le=MAX_PAGE)
    label: Label | None = None


Command = Annotated[Build | Add | Remove | Drop | ListGalleries | ListFaces, Field(discriminator="op")]

# Commands that change nothing, and so need no admin token.
READ_ONLY = (ListGalleries, ListFaces)


class Change(_Strict):
    """Answer to build, add, remove and drop: the faces concerned, and the store's sequence after the commit."""

    ids: list[int]
    sequence: int


class GalleryInfo(_Strict):
    """One gallery. `embedder` is the digest of the model that made its embeddings, `dimension` their length."""

    name: str
    faces: int
    labels: int
    dimension: int
    embedder: str
    created: datetime


class FaceInfo(_Strict):
    """One enrolled face, without its embedding. `created` is in UTC."""

    id: int
    label: str
    source: str
    created: datetime


class Galleries(_Strict):
    """Answer to list_galleries."""

    galleries: list[GalleryInfo]


class Faces(_Strict):
    """Answer to list_faces. `next_after_id` is what to ask for next, or None on the last page."""

    faces: list[FaceInfo]
    next_after_id: int | None
