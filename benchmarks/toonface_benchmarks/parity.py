"""Picture by picture: what toonface answers, beside what PaddleX's pipeline answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_benchmarks.common_ground import Ground
from toonface_benchmarks.paddlex_process import Installation, paddlex_pipeline, write_config
from toonface_benchmarks.serving import enrol, serving
from toonface_client import ToonfaceClient
from toonface_contract.names import UNKNOWN_LABEL
from toonface_server.cpus import usable_cpus

# What must be equal is: corners within half a pixel, detection scores and similarities within a thousandth.
MOST_PIXELS = 0.5
MOST_SCORE = 1e-3
# Boxes that overlap as much as this are the same face, however they differ.
_SAME_FACE = 0.5
_NO_THRESHOLD = -2.0  # below any similarity
_GALLERY = "parity"


@dataclass(frozen=True)
class Answer:
    """One face of one side's answer.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the picture.
        score: of the detection.
        label: the decision.
        ranks: labels of the nearest enrolled faces, best first.
        scores: their similarities.
    """

    box: tuple[float, ...]
    score: float
    label: str
    ranks: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass
class Differences:
    """How the answers to a set of pictures differ; the largest of each, and counts.

    Attributes:
        pictures: that were compared.
        faces: that PaddleX found.
        lost: of them, those that toonface did not find.
        added: faces that toonface alone found.
        pixels: largest distance of a corner, along x or y.
        detection_score: largest difference.
        labels: faces with another decision.
        similarity: largest difference of similarities at the same rank.
        ranks: faces whose labels are ranked in another order, where it is not that of ties within the bound of scores.
        where: what differed, a line each.
    """

    pictures: int = 0
    faces: int = 0
    lost: int = 0
    added: int = 0
    pixels: float = 0.0
    detection_score: float = 0.0
    labels: int = 0
    similarity: float = 0.0
    ranks: int = 0
    where: list[str] = field(default_factory=list)

    @property
    def decisions(self) -> int:
        """Changed decisions: faces that one side alone found, and faces with another label."""
        return self.lost + self.added + self.labels

    @property
    def equal(self) -> bool:
        """Whether all that must be equal is."""
        near = self.pixels <= MOST_PIXELS and max(self.detection_score, self.similarity) <= MOST_SCORE
        return near and not (self.decisions or self.ranks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "decisions": self.decisions, "equal": self.equal}

    def add(self, picture: str, mine: Sequence[Answer], theirs: Sequence[Answer]) -> None:
        """Take in both sides' answers to one picture."""
        pairs, lost, added = matched(mine, theirs)
        self.pictures += 1
        self.faces += len(theirs)
        self.lost += len(lost)
        self.added += len(added)
        self.where += [f"{picture}: lost {_told(face)}" for face in lost]
        self.where += [f"{picture}: added {_told(face)}" for face in added]
        for own, other in pairs:
            self.pixels = max(self.pixels, float(np.abs(np.subtract(own.box, other.box)).max()))
            self.detection_score = max(self.detection_score, abs(own.score - other.score))
            if own.label != other.label:
                self.labels += 1
                self.where.append(f"{picture}: {own.label} for {_told(other)}")
            apart = [abs(one - two) for one, two in zip(own.scores, other.scores, strict=False)]
            self.similarity = max([self.similarity, *apart])
            if not same_order(own, other):
                self.ranks += 1
                self.where.append(f"{picture}: ranks {own.ranks} for {other.ranks}")


def matched(
    mine: Sequence[Answer], theirs: Sequence[Answer]
) -> tuple[list[tuple[Answer, Answer]], list[Answer], list[Answer]]:
    """Pair the faces of two answers by overlap, greatest first; then theirs and mine that are left over."""
    overlaps = np.array([[_overlap(own.box, other.box) for other in theirs] for own in mine])
    overlaps = overlaps.reshape(len(mine), len(theirs))
    pairs = []
    rows, columns = set(range(len(mine))), set(range(len(theirs)))
    for place in np.argsort(-overlaps, axis=None):
        row, column = (int(each) for each in np.unravel_index(place, overlaps.shape))
        if row in rows and column in columns and overlaps[row, column] >= _SAME_FACE:
            pairs.append((mine[row], theirs[column]))
            rows.remove(row)
            columns.remove(column)
    return pairs, [theirs[column] for column in sorted(columns)], [mine[row] for row in sorted(rows)]


def same_order(mine: Answer, theirs: Answer) -> bool:
    """Whether both rank the same labels in the same order; of similarities within the bound, in either order."""
    if len(mine.ranks) != len(theirs.ranks):
        return False
    for rank, (own, other) in enumerate(zip(mine.ranks, theirs.ranks, strict=True)):
        ties = {
            label
            for label, score in zip(theirs.ranks, theirs.scores, strict=True)
            if abs(score - theirs.scores[rank]) <= MOST_SCORE
        }
        if own != other and own not in ties:
            return False
    return True


def compare(
    ground: Ground, python: Path, pictures: Sequence[tuple[str, bytes]], gallery_list: Path, tell: Callable[[str], None]
) -> Differences:
    """Ask both sides about each picture.

    Args:
        ground: what is served.
        python: interpreter of PaddleX's environment.
        pictures: names and encoded pictures.
        gallery_list: PaddleX list of the gallery to enrol and search.
        tell: told what is going on.
    """
    laid = ground.pictures([picture for _, picture in pictures])
    found = Differences()
    with tempfile.TemporaryDirectory(prefix="toonface-parity-") as scratch:
        folder = Path(scratch)
        installation = Installation(python, folder / "paddlex.yaml", usable_cpus(), folder)
        write_config(ground.pipeline, installation.config)
        tell("starting both sides")
        with (
            serving(ground.repository, folder) as served,
            ToonfaceClient(served.address, timeout=300) as client,
            paddlex_pipeline(installation) as pipeline,
        ):
            enrol(served.address, _GALLERY, gallery_list)
            pipeline.build(gallery_list)
            tell(f"{len(laid)} pictures")
            for (name, _), picture in zip(pictures, laid, strict=True):
                file = folder / "picture.jpg"
                file.write_bytes(picture)
                result = client.recognize(picture, gallery=_GALLERY)
                # It tells no ranks of a face below the threshold, so it is asked without one as well.
                decided, ranked = pipeline.recognize(file), pipeline.recognize(file, rec_threshold=_NO_THRESHOLD)
                found.add(name, [_mine(face) for face in result.faces], list(map(_theirs, decided, ranked)))
    return found


def _mine(face: Any) -> Answer:
    box, matches = face.box, face.matches
    ranks = tuple(match.label for match in matches)
    scores = tuple(match.score for match in matches)
    return Answer((box.x1, box.y1, box.x2, box.y2), face.detection_score, face.label, ranks, scores)


def _theirs(decided: dict[str, Any], ranked: dict[str, Any]) -> Answer:
    label = decided["labels"][0] if decided["labels"] else UNKNOWN_LABEL
    return Answer(
        tuple(decided["box"]), decided["score"], label, tuple(ranked["labels"] or ()), tuple(ranked["scores"] or ())
    )


def _overlap(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """Intersection over union."""
    one: NDArray[np.float64] = np.asarray(mine, np.float64)
    two: NDArray[np.float64] = np.asarray(theirs, np.float64)
    sides = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None)
    common = float(sides.prod())
    union = float((one[2:] - one[:2]).prod() + (two[2:] - two[:2]).prod()) - common
    return common / union if union > 0 else 0.0


def _told(face: Answer) -> str:
    return f"{face.label} at {', '.join(f'{value:.0f}' for value in face.box)}, {face.score:.3f}"
