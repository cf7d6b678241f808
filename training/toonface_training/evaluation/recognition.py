"""From pictures to names: how many faces get the right one, by the way of detected boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_client.cli.gallery_list import ListedPicture
from toonface_contract.errors import ConfigError
from toonface_ensemble.crop import crop_faces
from toonface_training.evaluation.datasets import Scene, in_turn, read_picture, read_pictures
from toonface_training.evaluation.embedded import Numbering, check_finite, embed_files, first_of_each
from toonface_training.evaluation.feature import decisions_dict
from toonface_training.evaluation.metrics.detection import match_faces
from toonface_training.evaluation.metrics.identification import Identification, identify
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.subjects import EmbeddedFaces, Embedder, Pixels, Recogniser
from toonface_training.evaluation.tracking import Track, silent

# Pixels of the shorter side from which on a face is given a figure of its own: with fewer, a drawing shows little.
LARGE = 32

# Whoever the annotation does not name.
_NOBODY = "\0"


@dataclass(frozen=True, slots=True)
class FacePlace:
    """A face of a scene: the scene's position, the true face's row, and the row of the detection that is it."""

    scene: int
    face: int
    detection: int | None


@dataclass(frozen=True, eq=False)
class RecognitionOutcome:
    """Names for the faces of scenes.

    Attributes:
        scenes: the pictures, with the truth.
        gallery: the pictures that are enrolled.
        seen: for each scene what was found above the deployed threshold.
        faces: every true face that counts.
        by_boxes: what the gallery says of those that were found, in the order of `faces`, through detected boxes.
        by_truth: what it says of all of them, cut out at the true boxes.
        rank1_both_by_boxes: as `rank1`, of a gallery whose own pictures went the way of the detector, too; whose face
            was not found there is wrong. None where there are no such pictures.
        false_scores: FP32 [B], the best similarity of each detection that is no face.
        det_threshold: the deployed one.
        rec_threshold: the deployed one.
    """

    scenes: Sequence[Scene]
    gallery: Sequence[ListedPicture]
    seen: Sequence[EmbeddedFaces]
    faces: Sequence[FacePlace]
    by_boxes: Identification
    by_truth: Identification
    rank1_both_by_boxes: Rate | None
    false_scores: NDArray[np.float32]
    det_threshold: float
    rec_threshold: float

    @property
    def found(self) -> Rate:
        """Faces that were found."""
        return Rate(sum(face.detection is not None for face in self.faces), len(self.faces))

    @property
    def rank1(self) -> Rate:
        """Faces of enrolled characters whose own is the nearest, of all there are: one that was missed is wrong."""
        return Rate(self.by_boxes.within(1).hits, int(self.by_truth.known.sum()))

    def rank1_of_found(self, side: int = 0) -> Rate:
        """Found faces of enrolled characters whose own is the nearest, of those that are large enough.

        Args:
            side: pixels that the true box has at least, in height and in width.
        """
        boxes = [self.scenes[face.scene].truth.boxes[face.face] for face in self.faces if face.detection is not None]
        corners = np.reshape(boxes, (-1, 4))
        return self.by_boxes.within(1, (corners[:, 2:] - corners[:, :2]).min(axis=1) >= side)

    @property
    def metrics(self) -> dict[str, float | None]:
        """The main figures."""
        return {
            "found": self.found.value,
            "rank1": self.rank1.value,
            "rank1_of_found": self.rank1_of_found().value,
            "rank1_true_boxes": self.by_truth.within(1).value,
        }

    def as_dict(self) -> dict[str, Any]:
        """All figures for JSON, with what they rest on."""
        named = int((self.false_scores >= np.float32(self.rec_threshold)).sum())
        return {
            "pictures": len(self.scenes),
            "gallery_pictures": len(self.gallery),
            "det_threshold": self.det_threshold,
            "found": self.found.as_dict(),
            "rank1": self.rank1.as_dict(),
            "rank1_of_found": self.rank1_of_found().as_dict(),
            f"rank1_of_found_{LARGE}px": self.rank1_of_found(LARGE).as_dict(),
            "rank1_true_boxes": self.by_truth.within(1).as_dict(),
            "deployed": decisions_dict(self.by_boxes, self.rec_threshold),
            "false_boxes_named": Rate(named, len(self.false_scores)).as_dict(),
        }


def evaluate_recognition(
    recogniser: Recogniser,
    embedder: Embedder,
    *,
    scenes: Sequence[Scene],
    gallery: Sequence[ListedPicture],
    det_threshold: float,
    rec_threshold: float,
    shots: int | None = None,
    whole: Sequence[Scene] = (),
    track: Track = silent,
) -> RecognitionOutcome:
    """Find the faces of every scene, and look each up in a gallery.

    Args:
        recogniser: finds faces and embeds them.
        embedder: the same one's embedder, for the gallery's pictures and true boxes.
        scenes: pictures whose annotations say who is in them.
        gallery: who is enrolled; faces with other labels, or none, are of strangers.
        det_threshold: the deployed one.
        rec_threshold: the deployed one.
        shots: how many gallery pictures of each character take part; None for all.
        whole: pictures of one enrolled face each and its surroundings, of whose surest faces a second gallery is made.
        track: told of each picture.

    Raises:
        ConfigError: no face of the scenes has a label that the gallery has.
        ToonfaceError: a picture cannot be read, or a model cannot answer, or not with finite numbers.
    """
    gallery = [gallery[position] for position in first_of_each(gallery, shots)]
    faces = [
        (place, row) for place, scene in enumerate(scenes) for row in np.flatnonzero(~scene.truth.ignored).tolist()
    ]
    must_show_enrolled(scenes, gallery)
    enrolled = embed_files(embedder, [picture.path for picture in gallery], track)
    seen = _found(recogniser, scenes, det_threshold, track, "recognise faces")
    of_faces = [scenes[place].path for place, _ in faces]
    embedded = list(track(in_turn(embedder.embed(_true_crops(scenes)), of_faces), len(faces), "embed true boxes"))
    check_finite(embedded, of_faces)
    given = [match_faces(each.found, scene.truth) for each, scene in zip(seen, scenes, strict=True)]
    found = [FacePlace(place, row, _detection(given[place], row)) for place, row in faces]
    by_boxes = [seen[face.scene].embeddings[face.detection] for face in found if face.detection is not None]
    false = [each.embeddings[rows < 0] for each, rows in zip(seen, given, strict=True) if (rows < 0).any()]

    numbers = Numbering()
    rows = enrolled.of(picture.path for picture in gallery)
    labels = numbers.of(picture.label for picture in gallery)

    def look_up(
        probes: Sequence[NDArray[np.float32]],
        of: Sequence[FacePlace],
        rows: NDArray[np.float32],
        labels: NDArray[np.int64],
    ) -> Identification:
        who = numbers.of(scenes[face.scene].labels[face.face] or _NOBODY for face in of)
        return identify(np.reshape(probes, (-1, rows.shape[1])), who, rows, labels)

    of_found = [face for face in found if face.detection is not None]
    by_truth = look_up(embedded, found, rows, labels)
    rank1_both = None
    if whole:
        surest, names = _surest(recogniser, whole, det_threshold, track)
        hits = look_up(by_boxes, of_found, np.stack(surest), numbers.of(names)).within(1).hits if surest else 0
        rank1_both = Rate(hits, int(by_truth.known.sum()))
    nobody = np.concatenate(false) if false else rows[:0]
    return RecognitionOutcome(
        scenes=scenes,
        gallery=gallery,
        seen=seen,
        faces=found,
        by_boxes=look_up(by_boxes, of_found, rows, labels),
        by_truth=by_truth,
        rank1_both_by_boxes=rank1_both,
        false_scores=identify(nobody, numbers.of([_NOBODY] * len(nobody)), rows, labels).scores,
        det_threshold=det_threshold,
        rec_threshold=rec_threshold,
    )


def must_show_enrolled(scenes: Sequence[Scene], gallery: Sequence[ListedPicture]) -> None:
    """Refuses scenes that say nothing of a gallery.

    Raises:
        ConfigError: no face of the scenes that counts has a label that the gallery has.
    """
    shown = {
        label for each in scenes for label, ignored in zip(each.labels, each.truth.ignored, strict=True) if not ignored
    }
    if not shown & {picture.label for picture in gallery}:
        raise ConfigError(
            "no face of the scenes is of a character of the gallery: the annotations lack `character`, "
            "or the gallery is of others"
        )


def _found(
    recogniser: Recogniser, scenes: Sequence[Scene], det_threshold: float, track: Track, what: str
) -> list[EmbeddedFaces]:
    """The faces that are found in each scene, with finite embeddings."""
    paths = [scene.path for scene in scenes]
    answers = in_turn(recogniser.find(read_pictures(paths), det_threshold), paths)
    seen = list(track(answers, len(scenes), what))
    check_finite([each.embeddings for each in seen], paths)
    return seen


def _surest(
    recogniser: Recogniser, whole: Sequence[Scene], det_threshold: float, track: Track
) -> tuple[list[NDArray[np.float32]], list[str]]:
    """Embedding and label of the surest face of each picture in which there is one."""
    embeddings, names = [], []
    for scene, each in zip(whole, _found(recogniser, whole, det_threshold, track, "enrol whole pictures"), strict=True):
        if len(each.embeddings):
            embeddings.append(each.embeddings[int(np.argmax(each.found.scores))])
            names.append(scene.labels[0] or _NOBODY)
    return embeddings, names


def _true_crops(scenes: Sequence[Scene]) -> Iterator[Pixels]:
    for scene in scenes:
        yield from crop_faces(read_picture(scene.path), scene.truth.boxes[~scene.truth.ignored])


def _detection(given: NDArray[np.int64], face: int) -> int | None:
    rows = np.flatnonzero(given == face)
    return int(rows[0]) if len(rows) else None
