"""From labelled pictures to enrolled faces: what both clients share of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from toonface_client import calls
from toonface_client.calls import Call
from toonface_client.images import ImageSource
from toonface_client.results import FeatureResult
from toonface_contract.admin import Change, GalleryInfo, NewFace
from toonface_contract.errors import AlreadyExists, InvalidImage, InvalidRequest, NotFound, ToonfaceError
from toonface_contract.options import Crop


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """A picture of one face, and whose it is.

    Attributes:
        image: encoded bytes, a path, or RGB pixels UINT8 [H, W, 3].
        label: the name to enrol under, 1 to 256 characters.
        source: where the picture is from; kept with the face, up to 1024 characters.
    """

    image: ImageSource
    label: str
    source: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PictureReport:
    """What became of one picture: either `face_id` is set, or `error`."""

    label: str
    source: str
    face_id: int | None = None
    error: ToonfaceError | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        error = self.error and {"code": self.error.code, "message": self.error.message}
        return {"label": self.label, "source": self.source, "id": self.face_id, "error": error}


@dataclass(frozen=True, slots=True, eq=False)
class EnrolReport:
    """What became of the pictures, in their order.

    Attributes:
        pictures: one report each.
        change: the gallery's change; None when every picture failed, and so nothing was written.
    """

    pictures: tuple[PictureReport, ...]
    change: Change | None

    @property
    def enrolled(self) -> int:
        """Pictures that are in the gallery now."""
        return sum(picture.error is None for picture in self.pictures)

    @property
    def failed(self) -> int:
        """Pictures that are not."""
        return len(self.pictures) - self.enrolled

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {
            "enrolled": self.enrolled,
            "failed": self.failed,
            "sequence": self.change and self.change.sequence,
            "pictures": [picture.as_dict() for picture in self.pictures],
        }


class Enrolment:
    """Collects embeddings of labelled pictures for one write to a gallery.

    Args:
        crop: how a picture shows its face: it is the face (`whole`), or exactly one face must be found in it (`faces`).
    """

    def __init__(self, crop: Crop) -> None:
        self._crop = crop
        self._reports: list[PictureReport] = []
        self._faces: list[NewFace] = []
        self._embeddings: list[NDArray[np.float32]] = []

    def add(self, picture: LabelledPicture, outcome: FeatureResult | ToonfaceError) -> None:
        """Takes one picture with its features, or with the error that the server answered."""
        report = PictureReport(picture.label, picture.source)
        try:
            face, embedding = _new_face(picture), _only_embedding(outcome, self._crop)
        except ToonfaceError as error:
            self._reports.append(replace(report, error=error))
            return
        self._reports.append(report)
        self._faces.append(face)
        self._embeddings.append(embedding)

    def write(self, gallery: str, *, build: bool, replace: bool) -> Call[Change] | None:
        """The call that enrols the faces, or None when every picture failed, and there is nothing to write."""
        if not self._faces:
            return None
        if build:
            return calls.build(gallery, self._faces, self._embeddings, replace=replace)
        return calls.add(gallery, self._faces, self._embeddings)

    def report(self, change: Change | None) -> EnrolReport:
        """What became of the pictures, with the change that the write made."""
        ids = iter(change.ids if change else ())
        return EnrolReport(
            tuple(each if each.error else replace(each, face_id=next(ids, None)) for each in self._reports), change
        )


def must_build(galleries: Iterable[GalleryInfo], name: str, *, build: bool, replace: bool) -> bool:
    """Whether the write builds the gallery, rather than adds to it.

    To build a gallery that exists and is empty, such as the default one of a new server, is to add to it: nothing can
    get lost, whoever else enrols meanwhile.

    Raises:
        AlreadyExists: it is to be built, holds faces, and may not be replaced. Like the next, an error that the write
            would bring too, but only after all pictures were embedded.
        NotFound: faces are to be added to it and it does not exist.
    """
    sizes = {gallery.name: gallery.faces for gallery in galleries}
    if not build and name not in sizes:
        there = ", ".join(sorted(sizes)) or "none"
        raise NotFound(
            f"there is no gallery {name!r} to add to (there are: {there}); build it", code="gallery_not_found"
        )
    if not build or replace or name not in sizes:
        return build
    if sizes[name]:
        raise AlreadyExists(
            f"gallery {name!r} exists and is not empty (faces: {sizes[name]}); add to it, or let it be replaced",
            code="gallery_exists",
        )
    return False


def _new_face(picture: LabelledPicture) -> NewFace:
    try:
        return NewFace(label=picture.label, source=picture.source)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{first['loc'][0]} is {first['input']!r}: {first['msg']}") from None


def _only_embedding(outcome: FeatureResult | ToonfaceError, crop: Crop) -> NDArray[np.float32]:
    if isinstance(outcome, ToonfaceError):
        raise outcome
    if outcome.faces_found != 1 or len(outcome.embeddings) != 1:
        raise InvalidImage(f"{outcome.faces_found} faces found; with crop {crop!r} a gallery picture shows exactly one")
    embedding: NDArray[np.float32] = outcome.embeddings[0]
    return embedding
