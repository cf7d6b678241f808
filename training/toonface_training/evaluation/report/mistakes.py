"""The worst mistakes, as tiles of a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from toonface_client.cli.gallery_list import ListedPicture
from toonface_training.evaluation.datasets import GallerySet, Scene, read_picture
from toonface_training.evaluation.detection import DetectionOutcome
from toonface_training.evaluation.feature import GalleryOutcome, PairOutcome
from toonface_training.evaluation.metrics.detection import Detections, box_overlaps, match_faces
from toonface_training.evaluation.recognition import RecognitionOutcome
from toonface_training.evaluation.report.sheets import BLUE, GREEN, RED, Colour, Tile, around
from toonface_training.evaluation.subjects import Pixels

MOST = 32


def missed_faces(outcome: DetectionOutcome) -> list[Tile]:
    """Faces without a detection above the deployed threshold, the largest first."""
    missed = []
    for scene, found in zip(outcome.scenes, _deployed(outcome), strict=True):
        given = match_faces(found, scene.truth)
        for row in np.flatnonzero(~scene.truth.ignored):
            if row not in given:
                x1, y1, x2, y2 = scene.truth.boxes[row].tolist()
                missed.append(((x2 - x1) * (y2 - y1), scene, found, int(row)))
    missed.sort(key=lambda each: -each[0])
    return [
        Tile([_view(scene, found, scene.truth.boxes[row].tolist())], [scene.path.name, f"{area**0.5:.0f} px"])
        for area, scene, found, row in missed[:MOST]
    ]


def false_boxes(outcome: DetectionOutcome) -> list[Tile]:
    """Detections above the deployed threshold that are no face, the surest first."""
    false = []
    for scene, found in zip(outcome.scenes, _deployed(outcome), strict=True):
        given = match_faces(found, scene.truth)
        false += [(float(found.scores[row]), scene, found, int(row)) for row in np.flatnonzero(given < 0)]
    false.sort(key=lambda each: -each[0])
    return [
        Tile([_view(scene, found, found.boxes[row].tolist())], [scene.path.name, f"score {score:.3f}"])
        for score, scene, found, row in false[:MOST]
    ]


def loose_boxes(outcome: DetectionOutcome) -> list[Tile]:
    """Found faces whose boxes fit worst."""
    loose = sorted(_fits(outcome), key=lambda each: each[0])
    return [
        Tile([_view(scene, found, found.boxes[row].tolist())], [scene.path.name, f"overlap {overlap:.2f}"])
        for overlap, scene, found, row in loose[:MOST]
    ]


def overlaps_of_found(outcome: DetectionOutcome) -> NDArray[np.float64]:
    """FP64 [N]: for each face found above the deployed threshold, how much its box overlaps it."""
    return np.array([overlap for overlap, *_ in _fits(outcome)], np.float64)


def mistaken_pairs(outcome: PairOutcome, same: bool) -> list[Tile]:
    """Pairs on the wrong side of the threshold: the same character but least similar, or others but most similar."""
    wrong = [
        (float(score), pair)
        for pair, score in zip(outcome.pairs, outcome.similarities, strict=True)
        if pair.same == same and (score < outcome.served.threshold) == same
    ]
    wrong.sort(key=lambda each: each[0] if same else -each[0])
    return [
        Tile(
            [read_picture(pair.left), read_picture(pair.right)],
            [pair.left.name, pair.right.name, f"similarity {score:.3f}"],
        )
        for score, pair in wrong[:MOST]
    ]


def wrong_names(outcome: GalleryOutcome, gallery_set: GallerySet) -> list[Tile]:
    """Known probes that are more like somebody else, the surest first: the probe, its own character, the other."""
    gallery, found = [gallery_set.gallery[position] for position in outcome.gallery], outcome.found
    own, tiles = _first_pictures(gallery), []
    rows = np.flatnonzero(found.ranks > 1)
    for row in rows[np.argsort(-found.scores[rows], kind="stable")][:MOST].tolist():
        probe, nearest = gallery_set.probes[row], gallery[found.nearest[row]]
        text = f"similarity {found.scores[row]:.3f}, rank {found.ranks[row]}"
        tiles.append(
            Tile(
                [read_picture(each.path) for each in (probe, own[probe.label], nearest)],
                [f"is {probe.label}", f"taken for {nearest.label}", text],
            )
        )
    return tiles


def named_strangers(outcome: GalleryOutcome, gallery_set: GallerySet) -> list[Tile]:
    """Strangers that get a name at the deployed threshold, the surest first: the stranger, and who it is taken for."""
    gallery, found = [gallery_set.gallery[position] for position in outcome.gallery], outcome.found
    rows = np.flatnonzero(~found.known & (found.scores >= np.float32(outcome.rec_threshold)))
    rows = rows[np.argsort(-found.scores[rows], kind="stable")][:MOST]
    return [
        Tile(
            [read_picture(gallery_set.probes[row].path), read_picture(gallery[found.nearest[row]].path)],
            [
                f"is {gallery_set.probes[row].label}",
                f"taken for {gallery[found.nearest[row]].label}",
                f"similarity {found.scores[row]:.3f}",
            ],
        )
        for row in rows.tolist()
    ]


def wrong_faces(outcome: RecognitionOutcome) -> list[Tile]:
    """Faces of scenes that are more like somebody else: the face, its own character, the other."""
    own, tiles = _first_pictures(outcome.gallery), []
    found = [face for face in outcome.faces if face.detection is not None]
    rows = np.flatnonzero(outcome.by_boxes.ranks > 1)
    for row in rows[np.argsort(-outcome.by_boxes.scores[rows], kind="stable")][:MOST].tolist():
        face, nearest = found[row], outcome.gallery[outcome.by_boxes.nearest[row]]
        scene, seen = outcome.scenes[face.scene], outcome.seen[face.scene].found
        label = scene.labels[face.face] or ""
        tiles.append(
            Tile(
                [
                    _view(scene, seen, scene.truth.boxes[face.face].tolist()),
                    read_picture(own[label].path),
                    read_picture(nearest.path),
                ],
                [f"is {label}", f"taken for {nearest.label}", f"similarity {outcome.by_boxes.scores[row]:.3f}"],
            )
        )
    return tiles


def _fits(outcome: DetectionOutcome) -> Iterator[tuple[float, Scene, Detections, int]]:
    """For each face found above the deployed threshold its overlap, scene, the detections there, and the row of its."""
    for scene, found in zip(outcome.scenes, _deployed(outcome), strict=True):
        given = match_faces(found, scene.truth)
        overlaps = box_overlaps(found.boxes, scene.truth.boxes)
        for row in np.flatnonzero(given >= 0).tolist():
            if not scene.truth.ignored[given[row]]:
                yield float(overlaps[row, given[row]]), scene, found, row


def _deployed(outcome: DetectionOutcome) -> list[Detections]:
    return [found.above(outcome.deployed.threshold) for found in outcome.found]


def _view(scene: Scene, found: Detections, box: list[float]) -> Pixels:
    """The surroundings of a box, with true faces in green, ignored ones in red, and detections in blue."""
    drawn: list[tuple[Sequence[float], Colour]] = [
        (true.tolist(), RED if ignored else GREEN)
        for true, ignored in zip(scene.truth.boxes, scene.truth.ignored, strict=True)
    ]
    drawn += [(each.tolist(), BLUE) for each in found.boxes]
    return around(read_picture(scene.path), box, drawn)


def _first_pictures(gallery: Sequence[ListedPicture]) -> dict[str, ListedPicture]:
    return {picture.label: picture for picture in reversed(gallery)}
