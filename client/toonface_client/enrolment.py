"""From labelled pictures to enrolled faces: what both clients share of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from toonface_client import gallery_calls as calls
from toonface_client.calls import Call
from toonface_client.images import ImageSource
from toonface_client.quality import Measures, QualityGate, measure
from toonface_client.results import FeatureResult, Match
from toonface_contract.admin import Change, Galleries, IndexSettings, NewFace
from toonface_contract.errors import AlreadyExists, InvalidImage, InvalidRequest, NotFound, ToonfaceError
from toonface_contract.options import Crop

# Nearest labels, among which is one that is not the picture's own. Labels and not faces, or somebody of whom there are
# many pictures would hide another behind them.
NEAREST: Final = 2

# Faces compared with all others at once: 4 MB for each thousand of them.
_BLOCK: Final = 1024


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
    """What became of one picture.

    Attributes:
        label, source: the picture's.
        face_id: the face's id in the gallery; None where it was not enrolled, or the run was a dry one.
        measures: what was seen of its quality; None where nothing could be.
        error: why it was not enrolled; None where it was, or would have been.
    """

    label: str
    source: str
    face_id: int | None = None
    measures: Measures | None = None
    error: ToonfaceError | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {
            "label": self.label,
            "source": self.source,
            "id": self.face_id,
            "measures": self.measures and self.measures.as_dict(),
            "error": self.error and {"code": self.error.code, "message": self.error.message},
        }


@dataclass(frozen=True, slots=True, eq=False)
class EnrolReport:
    """What became of the pictures, in their order.

    Attributes:
        pictures: one report each.
        change: the gallery's change; None when every picture failed, and so nothing was written.
        dry_run: whether nothing was written on purpose.
    """

    pictures: tuple[PictureReport, ...]
    change: Change | None
    dry_run: bool = False

    @property
    def enrolled(self) -> int:
        """Pictures that are in the gallery now, or would be but for the dry run."""
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
            "dry_run": self.dry_run,
            "sequence": self.change and self.change.sequence,
            "pictures": [picture.as_dict() for picture in self.pictures],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A face that may be enrolled: its embedding FP32 [D], and what was seen of the picture's quality."""

    embedding: NDArray[np.float32]
    measures: Measures


def candidate(image: bytes, features: FeatureResult, crop: Crop, gate: QualityGate | None) -> Candidate:
    """The one face of a picture.

    Raises:
        InvalidImage: `no_face` or `several_faces`; or the gate refuses it.
    """
    if features.faces_found != 1 or len(features.embeddings) != 1:
        raise InvalidImage(
            f"{features.faces_found} faces found; with crop {crop!r} a gallery picture shows exactly one",
            code="several_faces" if features.faces_found else "no_face",
        )
    score = None if crop == "whole" else float(features.detection_scores[0])
    measures = measure(image, features.boxes[0], score)
    if gate is not None:
        gate.check(measures)
    return Candidate(features.embeddings[0], measures)


class Enrolment:
    """Collects the faces of labelled pictures for one write to a gallery.

    Add the pictures; let those that are too similar to others be refused, by `compare` and, where the gallery has faces
    already, by `compare_enrolled`; then `write`.
    """

    def __init__(self, gate: QualityGate | None) -> None:
        self._limit = None if gate is None else gate.max_similarity
        self._reports: list[PictureReport] = []
        self._faces: dict[int, NewFace] = {}  # by the position of their pictures
        self._embeddings: dict[int, NDArray[np.float32]] = {}

    def add(self, picture: LabelledPicture, outcome: Candidate | ToonfaceError) -> None:
        """Takes one picture with its face, or with the reason why there is none."""
        report = PictureReport(picture.label, picture.source)
        position = len(self._reports)
        try:
            face = _new_face(picture)
            if isinstance(outcome, ToonfaceError):
                raise outcome
            report = replace(report, measures=outcome.measures)
            self._faces[position] = face.model_copy(update={"quality": outcome.measures.quality})
            self._embeddings[position] = outcome.embedding
        except ToonfaceError as error:
            report = replace(report, error=error)
        self._reports.append(report)

    def compare(self) -> None:
        """Refuses pictures that are too similar to an earlier one of another label."""
        if self._limit is None:
            return
        positions = list(self._faces)
        labels = [self._faces[position].label for position in positions]
        rows = np.array([self._embeddings[position] for position in positions])
        for row, (earlier, similarity) in near_duplicates(rows, labels, self._limit).items():
            other = self._reports[positions[earlier]]
            who = f"{other.label!r} ({other.source or 'another picture'})"
            self._refuse(positions[row], _near_duplicate(similarity, who, self._limit))

    @property
    def probes(self) -> NDArray[np.float32] | None:
        """FP32 [N, D], what to search the gallery for; None where nothing is to be compared."""
        return None if self._limit is None or not self._embeddings else np.array(list(self._embeddings.values()))

    def compare_enrolled(self, matches: Sequence[Sequence[Match]]) -> None:
        """Refuses pictures that are too similar to an enrolled face of another label.

        Args:
            matches: the nearest enrolled face of each of the `NEAREST` nearest labels of each probe.
        """
        for position, nearest in zip(list(self._faces), matches, strict=True):
            error = enrolled_duplicate(nearest, self._faces[position].label, self._limit)
            if error is not None:
                self._refuse(position, error)

    def write(
        self,
        gallery: str,
        *,
        build: bool,
        replace: bool,
        index: IndexSettings | None = None,
        dry_run: bool = False,
    ) -> Call[Change] | None:
        """The call that enrols the faces, or None when every picture failed, and there is nothing to write."""
        if not self._faces:
            return None
        faces, embeddings = list(self._faces.values()), list(self._embeddings.values())
        if build:
            return calls.build(gallery, faces, embeddings, replace=replace, index=index, dry_run=dry_run)
        return calls.add(gallery, faces, embeddings, index=index, dry_run=dry_run)

    def report(self, change: Change | None, *, dry_run: bool = False) -> EnrolReport:
        """What became of the pictures, with the change that the write made."""
        ids = iter(change.ids if change and not dry_run else ())
        reports = tuple(each if each.error else replace(each, face_id=next(ids, None)) for each in self._reports)
        return EnrolReport(reports, change, dry_run)

    def _refuse(self, position: int, error: ToonfaceError) -> None:
        del self._faces[position], self._embeddings[position]
        self._reports[position] = replace(self._reports[position], error=error)


def enrolled_duplicate(matches: Iterable[Match], label: str, limit: float | None) -> InvalidImage | None:
    """Why a face may not be enrolled under a label: the first of these enrolled faces that is of another, if too near.

    Args:
        matches: enrolled faces, the most similar first.
        label: the face's.
        limit: similarity from which on two faces are too similar, -1 to 1; None for no bound.
    """
    other = next((match for match in matches if match.label != label), None)
    if other is None or limit is None or other.score < limit:
        return None
    return _near_duplicate(other.score, f"{other.label!r} (enrolled, id {other.id})", limit)


def _near_duplicate(similarity: float, other: str, limit: float) -> InvalidImage:
    return InvalidImage(
        f"the face is that of {other}, by its similarity of {similarity:.3f}; under {limit:g} is asked for",
        code="near_duplicate",
    )


def near_duplicates(
    embeddings: NDArray[np.float32], labels: Sequence[str], limit: float
) -> dict[int, tuple[int, float]]:
    """Which faces are too similar to an earlier one of another label that is none of these itself.

    Args:
        embeddings: FP32 [N, D], of unit length.
        labels: N labels.
        limit: similarity from which on two faces are too similar, -1 to 1.

    Returns:
        For each such row the most similar earlier row, and their similarity.
    """
    codes = np.unique(np.asarray(labels, np.str_), return_inverse=True)[1]
    found: dict[int, tuple[int, float]] = {}
    for start in range(0, len(embeddings), _BLOCK):
        stop = min(start + _BLOCK, len(embeddings))
        scores = embeddings[start:stop] @ embeddings[:stop].T
        scores[codes[start:stop, None] == codes[:stop]] = -np.inf
        for row in np.flatnonzero((scores >= limit).any(axis=1)).tolist():
            earlier = scores[row, : start + row]
            earlier[list(found)] = -np.inf
            if earlier.max(initial=-np.inf) >= limit:
                found[start + row] = (int(earlier.argmax()), float(earlier.max()))
    return found


def must_build(galleries: Galleries, name: str, *, build: bool, replace: bool) -> bool:
    """Whether the write builds the gallery, rather than adds to it.

    To build a gallery that exists and is empty, such as the default one of a new server, is to add to it: nothing can
    get lost, whoever else enrols meanwhile.

    Raises:
        AlreadyExists: it is to be built, holds faces, and may not be replaced. Like the next, an error that the write
            would bring too, but only after all pictures were embedded.
        NotFound: faces are to be added to it and it does not exist.
        InvalidRequest: `embedder_mismatch`, faces are to be added to it and it is of another embedder.
    """
    there = {gallery.name: gallery for gallery in galleries.galleries}
    if not build and name not in there:
        names = ", ".join(sorted(there)) or "none"
        raise NotFound(
            f"there is no gallery {name!r} to add to (there are: {names}); build it", code="gallery_not_found"
        )
    if replace or name not in there:
        return build
    if build and there[name].faces:
        raise AlreadyExists(
            f"gallery {name!r} exists and is not empty (faces: {there[name].faces}); add to it, or let it be replaced",
            code="gallery_exists",
        )
    if galleries.embedder and there[name].embedder != galleries.embedder:
        raise InvalidRequest(
            f"gallery {name!r} is of another embedder than the server's; embed its pictures anew "
            "(toonface gallery re-embed), or let it be replaced",
            code="embedder_mismatch",
        )
    return False


def holds_faces(galleries: Galleries, name: str) -> bool:
    """Whether there are faces in a gallery to compare new ones with."""
    return any(gallery.name == name and gallery.faces for gallery in galleries.galleries)


def _new_face(picture: LabelledPicture) -> NewFace:
    try:
        return NewFace(label=picture.label, source=picture.source)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{first['loc'][0]} is {first['input']!r}: {first['msg']}") from None
