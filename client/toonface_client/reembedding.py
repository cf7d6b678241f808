"""The pictures of a gallery, embedded anew by the server's embedder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toonface_client.client import ToonfaceClient
from toonface_client.concurrency import in_order
from toonface_client.staging import Staging, index_of
from toonface_contract.admin import Change, FaceInfo, IndexSettings, NewFace
from toonface_contract.errors import Conflict, InvalidImage, NotFound, ToonfaceError
from toonface_contract.options import Crop

_Found: TypeAlias = tuple[FaceInfo, Path]
# Passes faces and their pictures on, and shows how far it has come.
Track: TypeAlias = Callable[[Sequence[_Found]], Iterable[_Found]]

# Faces in one message: 2 MB at 512 dimensions.
_PORTION: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """A face whose picture could not be embedded anew, and why."""

    face: FaceInfo
    error: ToonfaceError

    def as_dict(self) -> dict[str, Any]:
        """The face and the reason, for JSON."""
        return {
            "id": self.face.id,
            "label": self.face.label,
            "source": self.face.source,
            "error": {"code": self.error.code, "message": self.error.message},
        }


@dataclass(frozen=True, slots=True, eq=False)
class ReembedReport:
    """What became of a gallery.

    Attributes:
        faces: how many it had.
        embedded: how many were embedded anew.
        lost: the others.
        change: the switch; None where the gallery was left as it was.
    """

    faces: int
    embedded: int
    lost: tuple[Lost, ...]
    change: Change | None


def reembed(
    client: ToonfaceClient,
    gallery: str,
    roots: Sequence[Path],
    *,
    crop: Crop,
    drop_lost: bool,
    dry_run: bool,
    concurrency: int,
    track: Track,
) -> ReembedReport:
    """Embed a gallery's pictures anew, aside, and let the result take its place in one transaction.

    Labels, sources, qualities and index settings stay; faces get new ids and times. Searches go on in the old gallery
    until the switch.

    Args:
        client: one that may write.
        gallery: its name.
        roots: folders that relative sources start from; the first that has the picture counts.
        crop: how the pictures show their faces, as when they were enrolled.
        drop_lost: switch even if some faces are lost; otherwise nothing is changed then.
        dry_run: only look which pictures can be found.
        concurrency: pictures at once.
        track: shows how far it has come.

    Raises:
        NotFound: `gallery_not_found`.
        Conflict: somebody changed the gallery meanwhile; it was left as it is.
    """
    before, _ = _look(client, gallery)
    pictures = {face.id: _picture(face, roots) for face in before.faces}
    lost = [Lost(face, error) for face in before.faces if isinstance(error := pictures[face.id], NotFound)]
    if dry_run or (lost and not drop_lost):
        return ReembedReport(len(before.faces), 0, tuple(lost), None)
    present = [(face, path) for face in before.faces if isinstance(path := pictures[face.id], Path)]

    def embedded(found: _Found) -> tuple[FaceInfo, NDArray[np.float32] | ToonfaceError]:
        face, path = found
        try:
            features = client.features(path, crop=crop)
            if len(features.embeddings) != 1 or features.faces_found != 1:
                raise InvalidImage(f"{features.faces_found} faces found; there must be one")
            return face, features.embeddings[0]
        except ToonfaceError as error:
            return face, error

    with Staging(client, gallery, before.index) as staging:
        portion = _Portion(staging)
        for face, outcome in in_order(embedded, track(present), concurrency):
            if isinstance(outcome, ToonfaceError):
                lost.append(Lost(face, outcome))
            else:
                portion.add(face, outcome)
        portion.send()
        report = ReembedReport(len(before.faces), len(before.faces) - len(lost), tuple(lost), None)
        if lost and not drop_lost:
            return report
        # What changed up to this look is seen here, and what changes after it by the server. The first look's sequence
        # will not do: of a large gallery the store may have forgotten it, for what is made aside counts as changes too.
        now, sequence = _look(client, gallery)
        if now != before:
            raise Conflict(
                f"gallery {gallery!r} was changed while its pictures were embedded; it was left as it is, try again"
            )
        change = staging.switch(replace=True, unchanged_since=sequence)
        return ReembedReport(report.faces, report.embedded, report.lost, change)


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that somebody could change of a gallery."""

    faces: list[FaceInfo]
    embeddings: list[bytes]  # as digests, which fit into memory
    index: IndexSettings | None


def _look(client: ToonfaceClient, gallery: str) -> tuple[_Seen, int]:
    """What a gallery holds, and the change up to which all of it was surely seen; 0 where the server does not say."""
    faces: list[FaceInfo] = []
    embeddings: list[bytes] = []
    sequences: list[int] = []
    for page in client.face_pages(gallery, embeddings=True):
        faces += page.faces
        embeddings += [] if page.embeddings is None else map(_digest, page.embeddings)
        sequences.append(page.sequence)
    return _Seen(faces, embeddings, index_of(client.gallery_list(), gallery)), sequences[0]


def _digest(embedding: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(embedding.tobytes(), digest_size=16).digest()


class _Portion:
    """Gathers faces for one message."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._faces: list[NewFace] = []
        self._embeddings: list[NDArray[np.float32]] = []

    def add(self, face: FaceInfo, embedding: NDArray[np.float32]) -> None:
        self._faces.append(NewFace(label=face.label, source=face.source, quality=face.quality))
        self._embeddings.append(embedding)
        if len(self._faces) == _PORTION:
            self.send()

    def send(self) -> None:
        if self._faces:
            self._staging.add(self._faces, self._embeddings)
        self._faces, self._embeddings = [], []


def _picture(face: FaceInfo, roots: Sequence[Path]) -> Path | NotFound:
    if not face.source:
        return NotFound("the gallery does not know which picture the face is from")
    for root in roots:
        if (root / face.source).is_file():
            return root / face.source
    return NotFound(f"there is no picture {face.source!r} in {', '.join(map(repr, map(str, roots)))}")
