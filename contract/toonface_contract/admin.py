"""Commands of the `gallery_admin` model and what it answers.

A command is one JSON object in the BYTES tensor `command`; embeddings, where a command takes them, are the rows of the
optional FP32 tensor `embeddings` [N, D]. The answer is one JSON object in the BYTES tensor `result`; where faces were
asked for with their embeddings, these are the rows of the FP32 tensor `face_embeddings` [N, D].

Unknown fields of a command are refused by name. Unknown fields of an answer are passed over, so that a client can talk
to a newer server.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from toonface_contract.names import UNKNOWN_LABEL
from toonface_contract.options import GALLERY_NAME

GalleryName = Annotated[str, StringConstraints(pattern=f"^{GALLERY_NAME.pattern}$")]
# No control characters: a line break or a NUL would not survive gallery lists, terminals and PostgreSQL.
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$"),
]


def _named(label: str) -> str:
    if label == UNKNOWN_LABEL:
        raise ValueError(f"{UNKNOWN_LABEL!r} is what a face without a match is called")
    return label


# What a face may be given.
NewLabel = Annotated[Label, AfterValidator(_named)]
Source = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
# What a SQL database can hold.
FaceId = Annotated[int, Field(ge=1, le=2**63 - 1)]
ChangeNumber = Annotated[int, Field(ge=1, le=2**63 - 1)]
# How fit a picture was to enrol from: 0 not at all, 1 as good as can be told.
Quality = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# The characters of FAISS's factory strings, and of parameters after a semicolon.
IndexType = Annotated[
    str,
    StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9_,()\[\]]+(;[A-Za-z_]+=[0-9.]+(,[A-Za-z_]+=[0-9.]+)*)?$"),
]

MAX_PAGE = 10_000


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class IndexSettings(_Command):
    """How a gallery is searched.

    Attributes:
        type: `Flat`, `IVF`, `HNSW32`, or a FAISS factory string, with search parameters if need be, such as
            `IVF1024,SQ8;nprobe=32`. None leaves it to the server, which goes by size and memory.
        metric: `IP`, the inner product, or `L2`, the Euclidean distance. Scores are cosine similarities either way.
    """

    type: IndexType | None = None
    metric: Literal["IP", "L2"] = "IP"


class NewFace(_Command):
    """One face to enrol; its embedding is the row of `embeddings` with the same position."""

    label: NewLabel
    source: Source = ""
    quality: Quality | None = None


class FaceUpdate(_Command):
    """One face to correct, by its id: what is None stays as it is."""

    id: FaceId
    label: NewLabel | None = None
    source: Source | None = None
    quality: Quality | None = None


class _Change(_Command):
    """What every command that changes something takes.

    With `dry_run` it is checked and answered as if it were carried out, and nothing is changed.
    """

    gallery: GalleryName
    dry_run: bool = False


class Build(_Change):
    """Make a gallery of the given faces, in one transaction. With `replace`, an existing one gives way to it.

    `embedder` is the digest of the model that made the embeddings, where the sender knows it: the server's own, or the
    command is refused. Without it the sender vouches for them. `index` says how the gallery is searched: without it as
    the one that gives way, or as the server finds best.
    """

    op: Literal["build"] = "build"
    faces: list[NewFace] = []
    replace: bool = False
    embedder: str | None = None
    index: IndexSettings | None = None


class Add(_Change):
    """Enrol faces into an existing gallery, all or none. `embedder` is as in Build.

    With `index`, the gallery is searched in that way from then on; without it as before.
    """

    op: Literal["add"] = "add"
    faces: list[NewFace] = Field(min_length=1)
    embedder: str | None = None
    index: IndexSettings | None = None


class Update(_Change):
    """Correct faces, all or none. An id that is not there is an error.

    With the tensor `embeddings`, a row for each face, their vectors are replaced too; `embedder` is as in Build.
    """

    op: Literal["update"] = "update"
    faces: list[FaceUpdate] = Field(min_length=1)
    embedder: str | None = None

    @field_validator("faces")
    @classmethod
    def _once_each(cls, faces: list[FaceUpdate]) -> list[FaceUpdate]:
        seen: set[int] = set()
        for face in faces:
            if face.id in seen:
                raise ValueError(f"the id {face.id} is there twice")
            seen.add(face.id)
        return faces


class UpdateLabel(_Change):
    """Correct all faces with a label, in one transaction: what is None stays. A label that is not there is an error."""

    op: Literal["update_label"] = "update_label"
    label: Label
    set_label: NewLabel | None = None
    set_source: Source | None = None

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if self.set_label is None and self.set_source is None:
            raise ValueError("it must set a label or a source")
        return self


class Remove(_Change):
    """Remove faces by id, by label, or both; all or none. An id or label that is not there is an error."""

    op: Literal["remove"] = "remove"
    ids: list[FaceId] = []
    labels: list[Label] = []

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.ids and not self.labels:
            raise ValueError("it must name ids, labels or both")
        return self


class Configure(_Change):
    """Let a gallery be searched in another way. Its index is built anew, and takes over when it is ready."""

    op: Literal["configure"] = "configure"
    index: IndexSettings


class Rename(_Change):
    """Give a gallery another name. With `replace`, a gallery that has the name gives way, in the same transaction.

    With `unchanged_since`, the number of a change, which an answer told as its `sequence`, that gallery must be there,
    and no later change may have concerned it.
    """

    op: Literal["rename"] = "rename"
    to: GalleryName
    replace: bool = False
    unchanged_since: ChangeNumber | None = None

    @model_validator(mode="after")
    def _is_another(self) -> Self:
        if self.to == self.gallery:
            raise ValueError("a gallery's new name must differ from its old one")
        if self.unchanged_since is not None and not self.replace:
            raise ValueError("unchanged_since is about the gallery that gives way: it goes with replace")
        return self


class Drop(_Change):
    """Remove a gallery and all its faces. The gallery "default" always exists, and cannot be dropped."""

    op: Literal["drop"] = "drop"


class ListGalleries(_Command):
    """All galleries."""

    op: Literal["list_galleries"] = "list_galleries"


class ListFaces(_Command):
    """One page of a gallery's faces, in the order of their ids; with their embeddings, where these are asked for."""

    op: Literal["list_faces"] = "list_faces"
    gallery: GalleryName
    after_id: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=1000, ge=1, le=MAX_PAGE)
    label: Label | None = None
    ids: list[FaceId] | None = Field(default=None, min_length=1, max_length=MAX_PAGE)
    embeddings: bool = False


class Stats(_Command):
    """A gallery in figures."""

    op: Literal["stats"] = "stats"
    gallery: GalleryName


class Verify(_Command):
    """Check the stored embeddings of one page of a gallery, in the order of their ids."""

    op: Literal["verify"] = "verify"
    gallery: GalleryName
    after_id: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=MAX_PAGE, ge=1, le=MAX_PAGE)


Command = Annotated[
    Build
    | Add
    | Update
    | UpdateLabel
    | Remove
    | Configure
    | Rename
    | Drop
    | ListGalleries
    | ListFaces
    | Stats
    | Verify,
    Field(discriminator="op"),
]

# Commands that change nothing, and so need no admin token.
READ_ONLY = (ListGalleries, ListFaces, Stats, Verify)


class Change(_Answer):
    """Answer to commands that change something: the store's sequence after the commit, and the faces concerned.

    `ids` has, after build and add, the new faces in the order given; after remove, update and update_label, those
    concerned, in ascending order; after configure, rename and drop it is empty. After a dry run, `sequence` is the last
    change's, and `ids` has what would have been removed or updated; new faces have no ids yet.
    """

    ids: list[int]
    sequence: int


class GalleryInfo(_Answer):
    """One gallery. `embedder` is the digest of the model that made its embeddings, `dimension` their length."""

    name: str
    faces: int
    labels: int
    dimension: int
    embedder: str
    created: datetime
    index_type: str | None = None
    metric: str = "IP"


class FaceInfo(_Answer):
    """One enrolled face, without its embedding. `created` is in UTC."""

    id: int
    label: str
    source: str
    created: datetime
    quality: float | None = None


class Galleries(_Answer):
    """Answer to list_galleries. `embedder` and `dimension` are the server's: only galleries of these can be used."""

    galleries: list[GalleryInfo]
    embedder: str = ""
    dimension: int = 0


class Faces(_Answer):
    """Answer to list_faces. `next_after_id` is what to ask for next, or None on the last page.

    `sequence` is the store's last change when the page was read: pages of different sequences need not fit together.
    """

    faces: list[FaceInfo]
    next_after_id: int | None
    sequence: int = 0


class LabelCount(_Answer):
    """How many faces have a label."""

    label: str
    faces: int


class GalleryStats(_Answer):
    """Answer to stats.

    Attributes:
        gallery: the gallery.
        single: labels of one face only, for which nothing tells how alike its pictures are.
        most: the labels of most faces, ten at most, falling.
        rated: faces with a known quality.
        quality: their mean quality, or None where no face has one.
        first, last: when the oldest and the newest face were enrolled, in UTC; None where there is none.
        sequence: the store's last change.
        chosen_index: the index type that a gallery of its settings and size gets on this server, "" where that cannot
            be told: it is of another embedder, or the server is older than this field.
        index_reason: why that one, in a sentence.
    """

    gallery: GalleryInfo
    single: int
    most: list[LabelCount]
    rated: int
    quality: float | None
    first: datetime | None
    last: datetime | None
    sequence: int
    chosen_index: str = ""
    index_reason: str = ""


class Verification(_Answer):
    """Answer to verify.

    Attributes:
        faces: stored faces that were looked at.
        problems: what is wrong with them, a sentence each; empty when all is well.
        next_after_id: what to ask for next, or None on the last page.
        sequence: the store's last change when they were read.
        saved_index: on the first page, what the index that is saved for a quick start is worth: `none`, `current`,
            `behind by N changes`, `unusable` and why, or `damaged`; "" where the server does not save any.
    """

    faces: int
    problems: list[str]
    next_after_id: int | None = None
    sequence: int
    saved_index: str = ""
