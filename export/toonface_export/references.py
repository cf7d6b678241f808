"""What Paddle itself answers for the pictures that every exported form of a network is compared on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import select_faces
from toonface_export.figures import Answers, Figures
from toonface_export.judges import Judge
from toonface_export.nms import DetectorNms
from toonface_export.paddle_model import PaddleModel
from toonface_export.paddle_process import paddle_detections, paddle_outputs
from toonface_export.preprocessing import Normalisation

# Paddle and `select_faces` get the same numbers, so their boxes may differ by rounding alone.
_SAME_PX = 0.01


@dataclass(frozen=True)
class Reference:
    """Pictures, and Paddle's answers for them.

    Attributes:
        names: of the N pictures, for people to find them by.
        pictures: UINT8 [N,h,w,3], RGB.
        answers: what the exported graph should answer for each.
        judge: turns answers into decisions.
    """

    names: tuple[str, ...]
    pictures: NDArray[np.uint8]
    answers: Answers
    judge: Judge

    def figures(self, answers: Answers) -> Figures:
        """How far another network's answers are from these."""
        return self.judge.figures(self.names, self.answers, answers)

    def only(self, rows: Sequence[int]) -> Reference:
        """The same for some of the pictures alone."""
        chosen = list(rows)
        answers = {name: values[chosen] for name, values in self.answers.items()}
        return Reference(tuple(self.names[row] for row in chosen), self.pictures[chosen], answers, self.judge)

    def save(self, path: Path) -> None:
        """Write pictures and answers to an .npz file; the judge is not in it."""
        with path.open("wb") as file:
            np.savez_compressed(file, names=np.array(self.names), pictures=self.pictures, **self.answers)


def load_reference(path: Path, judge: Judge) -> Reference:
    """Read what `Reference.save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        answers = {name: file[name] for name in file.files if name not in ("names", "pictures")}
        return Reference(tuple(map(str, file["names"])), file["pictures"], answers, judge)


def detector_answers(
    model: PaddleModel, pictures: NDArray[np.uint8], normalisation: Normalisation, nms: DetectorNms, pyramid_levels: int
) -> Answers:
    """Paddle's boxes and scores before its NMS, of all levels of the pyramid.

    Each level's picture goes to Paddle as a picture of its own, normalised as PaddleX does. What Paddle's NMS makes of
    them is held against ours with the parameters that were read from the program.

    Args:
        model: the detector.
        pictures: UINT8 [N,h,w,3], RGB.
        normalisation: of the pixels.
        nms: the parameters.
        pyramid_levels: scales at which the exported graph looks.

    Returns:
        `boxes` FP32 [N,A,4] and `scores` FP32 [N,A].

    Raises:
        ExportError: Paddle failed, or its NMS does something else than the parameters say.
    """
    feeds = [feed for picture in normalisation.apply(pictures) for feed in _levels(picture, pyramid_levels)]
    boxes, scores = [], []
    for found in paddle_detections(model, feeds):
        level_scores = found.class_scores[nms.face_class]
        ours, kept = select_faces(found.boxes, level_scores, nms.score_threshold, nms.parameters)
        theirs = found.rows[:, 2:]
        # Which of equal scores goes first decides what survives, and Paddle's order of them is its own.
        tied = len(np.unique(kept)) < len(kept)
        if not tied and not _same_boxes(ours, theirs):
            raise ExportError(
                f"{model.name}: Paddle's NMS keeps {len(theirs)} boxes and ours {len(ours)}, or others, of the same "
                f"candidates; the parameters read from {model.own_program} are {nms}"
            )
        boxes.append(found.boxes)
        scores.append(level_scores)
    return {"boxes": _by_picture(boxes, pyramid_levels), "scores": _by_picture(scores, pyramid_levels)}


def embedder_answers(
    model: PaddleModel, faces: NDArray[np.uint8], normalisation: Normalisation, input_name: str
) -> Answers:
    """Paddle's embeddings, divided by their norms.

    Args:
        model: the embedder.
        faces: UINT8 [N,112,112,3], RGB.
        normalisation: of the pixels.
        input_name: of the Paddle program.

    Returns:
        `embedding` FP32 [N,D].
    """
    [[features]] = paddle_outputs(model, [{input_name: normalisation.apply(faces)}])
    return {"embedding": features / np.linalg.norm(features, axis=1, keepdims=True)}


def _levels(picture: NDArray[np.float32], pyramid_levels: int) -> list[Mapping[str, NDArray[np.float32]]]:
    """The inputs of a detector for each level of a normalised picture FP32 [3,h,w]."""
    height, width = picture.shape[1:]
    feeds: list[Mapping[str, NDArray[np.float32]]] = []
    for level in range(pyramid_levels):
        side = 2**level
        blocks = picture.reshape(3, height // side, side, width // side, side)
        feeds.append(
            {
                "image": blocks.mean(axis=(2, 4))[np.newaxis],
                "im_shape": np.array([[height, width]], np.float32),
                "scale_factor": np.ones((1, 2), np.float32),
            }
        )
    return feeds


def _by_picture(levels: list[NDArray[np.float32]], pyramid_levels: int) -> NDArray[np.float32]:
    starts = range(0, len(levels), pyramid_levels)
    return np.stack([np.concatenate(levels[start : start + pyramid_levels]) for start in starts])


def _same_boxes(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    """Whether boxes [N,4] and [M,4], each in order of falling scores, are the same but for rounding."""
    return ours.shape == theirs.shape and np.allclose(ours, theirs, atol=_SAME_PX)
