"""Commands of the `gallery_admin` model and what it answers.

A command is one JSON object in the BYTES tensor `command`; embeddings, where a command takes them, are the rows of the
optional FP32 tensor `embeddings` [N, D]. The answer is one JSON object in the BYTES tensor `result`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from toonface_contract.names import UNKNOWN_LABEL
from toonface_contract.options import GALLERY_NAME

GalleryName = Annotated[str, StringConstraints(pattern=f"^{GALLERY_NAME.pattern}$")]
# No control characters: a line break or a NUL would not survive gallery lists, terminals and PostgreSQL.
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
Source = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
# What a SQL database can hold.
FaceId = Annotated[int, Field(ge=1, le=2**63 - 1)]

MAX_PAGE = 10_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewFace(_Strict):
    """One face to enrol; its embedding is the row of `embeddings` with the same position."""

    label: Label
    source: Source = ""

    @field_validator("label")
    @classmethod
    def _is_a_name(cls, label: str) -> str:
        if label == UNKNOWN_LABEL:
            raise ValueError(f"{UNKNOWN_LABEL!r} is what a face without a match is called")
        return label


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
    """Remove faces by id, by label, or both; all or none. An id or label that is not there is an error."""

    op: Literal["remove"] = "remove"
    gallery: GalleryName
    ids: list[FaceId] = []
    labels: list[Label] = []

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.ids and not self.labels:
            raise ValueError("it must name ids, labels or both")
        return self


class Drop(_Strict):
    """Remove a gallery and all its faces. The gallery "default" always exists, and cannot be dropped."""

    op: Literal["drop"] = "drop"
    gallery: GalleryName


class ListGalleries(_Strict):
    """All galleries."""

    op: Literal["list_galleries"] = "list_galleries"


class ListFaces(_Strict):
    """One page of a gallery's faces, in the order of their ids."""

    op: Literal["list_faces"] = "list_faces"
    gallery: GalleryName
    after_id: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=1000, ge=1, le=MAX_PAGE)
    label: Label | None = None


Command = Annotated[Build | Add | Remove | Drop | ListGalleries | ListFaces, Field(discriminator="op")]

# Commands that change nothing, and so need no admin token.
READ_ONLY = (ListGalleries, ListFaces)


class Change(_Strict):
    """Answer to build, add, remove and drop: the store's sequence after the commit, and the faces concerned.

    `ids` has, after build and add, the new faces in the order given; after remove, those removed, in ascending order;
    after drop it is empty.
    """

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
