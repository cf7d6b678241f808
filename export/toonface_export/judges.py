"""Two sets of answers of a network compared: what becomes of them, and whether a decision has changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_ensemble.nms import NmsParameters, select_faces
from toonface_export.figures import Answers, Figures, share, total, worst

# Two boxes show the same face when they overlap by at least this much (intersection over union).
SAME_FACE = 0.5
# A score this near to its threshold, or two similarities this near to each other, decide by chance: a decision that
# turns on them has not changed.
DRAW = 0.005


@dataclass(frozen=True)
class DetectorJudge:
    """How a detector's raw answers become faces.

    Attributes:
        nms: the detector's own parameters.
        score_threshold: a box takes part in the graph's own NMS when it scores more.
        det_threshold: a face counts when it scores more. Detections are compared down to half of it: a request may
            lower it somewhat, and below that small differences decide which of many boxes survive the NMS.
    """

    nms: NmsParameters
    score_threshold: float
    det_threshold: float

    def as_json(self) -> dict[str, Any]:
        """The judge as manifests hold it."""
        return {**asdict(self), "nms": self.nms.model_dump()}

    def figures(self, names: tuple[str, ...], expected: Answers, found: Answers) -> Figures:
        """Compare the detections in each picture.

        Args:
            names: of the N pictures.
            expected: `boxes` and `scores`, of all anchors.
            found: the same of another graph. If it answers with fewer boxes, its best ones, the raw boxes are not
                compared, and their scores with as many of the best that were expected.

        Returns:
            `box_difference_px`, `lost_overlap`, `score_difference`, `unmatched_share`, `changed_decisions`;
            `raw_box_difference_px`
            (mean over the anchors) and `raw_score_difference`; and the number of `detections` and `faces`.
        """
        each: dict[str, list[float]] = {name: [] for name in ("box_difference_px", "lost_overlap", "score_difference")}
        unmatched, changed, detections, faces = [], [], [], []
        lowest = max(self.score_threshold, self.det_threshold / 2)
        for row in range(len(names)):
            ours = select_faces(expected["boxes"][row], expected["scores"][row], lowest, self.nms)
            theirs = select_faces(found["boxes"][row], found["scores"][row], lowest, self.nms)
            left, right, overlaps = _matches(ours[0], theirs[0])
            each["lost_overlap"].append(float(np.max(1 - overlaps, initial=0)))
            each["box_difference_px"].append(_largest(ours[0][left], theirs[0][right]))
            each["score_difference"].append(_largest(ours[1][left], theirs[1][right]))
            detections.append((len(ours[0]) + len(theirs[0])) / 2)
            unmatched.append((len(ours[0]) + len(theirs[0])) / 2 - len(left))
            faces.append(float(np.count_nonzero(ours[1] > self.det_threshold)))
            changed.append(self._changed(ours[1], theirs[1], left, right))
        scores, of_found = expected["scores"], found["scores"]
        if expected["boxes"].shape == found["boxes"].shape:
            apart = np.abs(expected["boxes"] - found["boxes"]).max(axis=2).mean(axis=1)
            each["raw_box_difference_px"] = apart.tolist()
        else:  # which of nearly equal scores comes first is chance, so a box has no partner by its place
            scores, of_found = _best(scores, of_found.shape[1]), _best(of_found, of_found.shape[1])
        each["raw_score_difference"] = np.abs(scores - of_found).max(axis=1).tolist()
        return {
            **{name: worst(names, values) for name, values in each.items()},
            "unmatched_share": share(names, unmatched, detections),
            "changed_decisions": share(names, changed, faces),
            "detections": total(names, detections),
            "faces": total(names, faces),
        }

    def _changed(
        self,
        ours: NDArray[np.float32],
        theirs: NDArray[np.float32],
        left: NDArray[np.intp],
        right: NDArray[np.intp],
    ) -> float:
        """Faces that one side clearly has and the other has not, of scores [N] and [M] and their matches."""
        clearly = self.det_threshold + DRAW
        partner_of_ours, partner_of_theirs = np.zeros_like(ours), np.zeros_like(theirs)
        partner_of_ours[left], partner_of_theirs[right] = theirs[right], ours[left]
        lost = (ours > clearly) & (partner_of_ours <= self.det_threshold)
        new = (theirs > clearly) & (partner_of_theirs <= self.det_threshold)
        return float(np.count_nonzero(lost) + np.count_nonzero(new))


@dataclass(frozen=True)
class EmbedderJudge:
    """How embeddings become names.

    Attributes:
        rec_threshold: a face takes the name of its nearest neighbour from this similarity on.
    """

    rec_threshold: float

    def as_json(self) -> dict[str, Any]:
        """The judge as manifests hold it."""
        return asdict(self)

    def figures(self, names: tuple[str, ...], expected: Answers, found: Answers) -> Figures:
        """Compare the embeddings of each face, and which of the other faces is its nearest.

        Args:
            names: of the N faces.
            expected: `embedding`, of unit length.
            found: the same of another graph.

        Returns:
            `cosine_distance`, `raw_difference` (largest of an embedding's numbers), `changed_decisions`, and the number
            of `faces`.
        """
        ours, theirs = expected["embedding"].astype(np.float64), found["embedding"].astype(np.float64)
        changed = self._changed(ours, theirs)
        return {
            "cosine_distance": worst(names, (1 - (ours * theirs).sum(axis=1)).tolist()),
            "raw_difference": worst(names, np.abs(ours - theirs).max(axis=1).tolist()),
            "changed_decisions": share(names, changed, [1.0] * len(names)),
            "faces": total(names, [1.0] * len(names)),
        }

    def _changed(self, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> list[float]:
        """For each face 1 if its name has changed: that of the nearest of the others, if that is near enough."""
        if len(ours) < 2:
            return [0.0] * len(ours)
        before, after = ours @ ours.T, theirs @ theirs.T
        np.fill_diagonal(before, -1)
        np.fill_diagonal(after, -1)
        rows = np.arange(len(ours))
        best, best_after = before.max(axis=1), after.max(axis=1)
        # Below the threshold a face has no name, whoever is nearest.
        named = (best >= self.rec_threshold) | (best_after >= self.rec_threshold)
        neighbour = named & (before[rows, after.argmax(axis=1)] < best - DRAW)
        crossed = (best >= self.rec_threshold) != (best_after >= self.rec_threshold)
        clear = (np.abs(best - self.rec_threshold) > DRAW) & (np.abs(best_after - self.rec_threshold) > DRAW)
        return [float(turned) for turned in neighbour | crossed & clear]


Judge = DetectorJudge | EmbedderJudge


def _matches(
    ours: NDArray[np.float32], theirs: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Pairs of boxes [N,4] and [M,4] that show the same face, the best overlap first: their rows, and the overlaps."""
    low, high = np.maximum(ours[:, None, :2], theirs[None, :, :2]), np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (ours, theirs)]
    overlaps = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, np.finfo(np.float32).tiny)
    left, right = np.nonzero(overlaps >= SAME_FACE)
    pairs: list[tuple[int, int]] = []
    for place in np.argsort(-overlaps[left, right], kind="stable"):
        one, other = int(left[place]), int(right[place])
        if all(one != pair[0] and other != pair[1] for pair in pairs):
            pairs.append((one, other))
    rows = np.array(pairs, np.intp).reshape(-1, 2)
    return rows[:, 0], rows[:, 1], overlaps[rows[:, 0], rows[:, 1]]


def _best(scores: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The highest scores of each picture, the highest first."""
    return -np.sort(-scores, axis=1)[:, :count]


def _largest(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    return float(np.abs(ours - theirs).max(initial=0))
