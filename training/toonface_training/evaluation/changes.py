"""Which decisions change from one form of the models to another: faces that are found, and names that are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_contract.names import UNKNOWN_LABEL
from toonface_training.evaluation.datasets import GallerySet, Scene, in_turn, read_pictures
from toonface_training.evaluation.embedded import Numbering, check_finite, embed_files
from toonface_training.evaluation.metrics.detection import Detections, TrueFaces, match_faces
from toonface_training.evaluation.metrics.identification import identify
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.subjects.opening import Subject
from toonface_training.evaluation.tracking import Track, silent


@dataclass(frozen=True, eq=False)
class Decisions:
    """What one form decided.

    Attributes:
        subject: its name.
        found: for each scene, the faces above the threshold.
        names: for each scene, the name of each of these faces.
        probes: the name of each probe.
        right: probes that got the name that they should have; strangers should have none.
    """

    subject: str
    found: Sequence[Detections]
    names: Sequence[Sequence[str]]
    probes: Sequence[str]
    right: Rate


@dataclass(frozen=True)
class Changes:
    """What another form decided otherwise.

    Attributes:
        subject: the other's name.
        faces: faces that one of the two alone found, of all that either found.
        names: faces that both found, and that got another name.
        probes: probes that got another name.
        right: probes that the other named rightly.
    """

    subject: str
    faces: Rate
    names: Rate
    probes: Rate
    right: Rate

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rates = {"faces": self.faces, "names": self.names, "probes": self.probes, "right": self.right}
        return {"subject": self.subject, **{name: rate.as_dict() for name, rate in rates.items()}}


def decide(
    subject: Subject,
    scenes: Sequence[Scene],
    gallery_set: GallerySet,
    *,
    det_threshold: float,
    rec_threshold: float,
    track: Track = silent,
) -> Decisions:
    """Let one form find and name faces, by its own embeddings of the gallery.

    Args:
        subject: with a detector and an embedder.
        scenes: pictures to find faces in; may be none.
        gallery_set: who is enrolled, and pictures of single faces to name.
        det_threshold: a face counts above it.
        rec_threshold: a name counts from it on.
        track: told of each picture.

    Raises:
        ToonfaceError: the subject lacks one of the two models, a picture cannot be read, or a model cannot answer.
    """
    embedder, recogniser = subject.must_embed(), subject.must_recognise()
    gallery, probes = gallery_set.gallery, gallery_set.probes
    embeddings = embed_files(embedder, [picture.path for picture in (*gallery, *probes)], track)
    paths = [scene.path for scene in scenes]
    answers = in_turn(recogniser.find(read_pictures(paths), det_threshold), paths)
    seen = list(track(answers, len(scenes), "find and name faces"))
    check_finite([each.embeddings for each in seen], paths)
    # All at once, so that the gallery is put in order once.
    faces = [embeddings.of(picture.path for picture in probes), *(each.embeddings for each in seen)]
    names = _names(
        np.concatenate([each for each in faces if len(each)]),
        embeddings.of(picture.path for picture in gallery),
        [picture.label for picture in gallery],
        rec_threshold,
    )
    ends = np.cumsum([len(each) for each in faces]).tolist()
    of_probes, *of_scenes = (names[end - len(each) : end] for each, end in zip(faces, ends, strict=True))
    enrolled = {picture.label for picture in gallery}
    wanted = [picture.label if picture.label in enrolled else UNKNOWN_LABEL for picture in probes]
    return Decisions(
        subject.name,
        [each.found for each in seen],
        of_scenes,
        of_probes,
        Rate(_equal(of_probes, wanted), len(probes)),
    )


def compare(one: Decisions, other: Decisions) -> Changes:
    """What the other form decided otherwise, on the same pictures."""
    alone = both = renamed = 0
    for ours, theirs, our_names, their_names in zip(one.found, other.found, one.names, other.names, strict=True):
        partners = match_faces(theirs, TrueFaces.at(ours.boxes))
        pairs = [(int(partner), row) for row, partner in enumerate(partners) if partner >= 0]
        both += len(pairs)
        alone += len(ours.boxes) + len(theirs.boxes) - 2 * len(pairs)
        renamed += sum(our_names[left] != their_names[right] for left, right in pairs)
    probes = len(one.probes)
    return Changes(
        other.subject,
        Rate(alone, alone + both),
        Rate(renamed, both),
        Rate(probes - _equal(one.probes, other.probes), probes),
        other.right,
    )


def _names(
    faces: NDArray[np.float32], gallery: NDArray[np.float32], labels: Sequence[str], rec_threshold: float
) -> list[str]:
    """For each face, FP32 [N,D], the label of the most similar gallery picture, FP32 [G,D], if it is similar enough."""
    # Whose the faces are takes no part in which picture is nearest.
    found = identify(faces, np.full(len(faces), -1), gallery, Numbering().of(labels))
    return [
        labels[row] if score >= np.float32(rec_threshold) else UNKNOWN_LABEL
        for row, score in zip(found.nearest.tolist(), found.scores, strict=True)
    ]


def _equal(names: Sequence[str], others: Sequence[str]) -> int:
    return sum(name == other for name, other in zip(names, others, strict=True))
