"""What the detector learns from: boxes by their overlap, scores by how good the box is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.nn import functional

from toonface_training.twin.anchors import anchors, assign, decode, encode

# Zhang et al., "VarifocalNet" (2021): weight of empty anchors, and how fast it falls with their score.
_EMPTY_WEIGHT, _FOCUS = 0.75, 2.0
_SCORE, _BOX, _OFFSET = 1.0, 2.0, 0.25

_anchors = lru_cache(maxsize=8)(anchors)


def detector_losses(
    offsets: torch.Tensor, logits: torch.Tensor, boxes: Sequence[torch.Tensor], height: int, width: int
) -> dict[str, torch.Tensor]:
    """The loss of a batch and its parts.

    The score that an anchor shall give is the overlap of its own box with the face, so that of several boxes of a face
    the tightest wins, and a threshold on the score is one on the box (varifocal loss). Boxes learn from CIoU and, for
    an even start, a little of SSD's own smooth L1 distance of the offsets.

    Args:
        offsets: FP32 [B,A,4].
        logits: FP32 [B,A,2], of face and background.
        boxes: of each picture the faces, FP32 [n,4], x1, y1, x2, y2 in pixels; n may be 0.
        height: of the pictures.
        width: of the pictures.

    Returns:
        `loss`, and its parts `score`, `box` and `offset`, all of them per anchor that learns a face.
    """
    anchor_boxes = _anchors(height, width)
    assigned = [assign(faces, anchor_boxes) for faces in boxes]
    face, empty = torch.stack([each[0] for each in assigned]), torch.stack([each[1] for each in assigned])
    picture, anchor = torch.nonzero(face >= 0, as_tuple=True)
    count = max(len(anchor), 1)
    # The softmax of two logits is the sigmoid of their difference.
    logit = logits[..., 0] - logits[..., 1]
    score = logit.sigmoid()
    background = functional.softplus(logit[empty]) * score[empty].detach() ** _FOCUS
    score_loss = _EMPTY_WEIGHT * background.sum()
    box_loss = offset_loss = offsets.sum() * 0.0
    if len(anchor):
        first = torch.tensor([0, *(len(faces) for faces in boxes[:-1])]).cumsum(0)
        wanted = torch.cat(list(boxes))[first[picture] + face[picture, anchor]]
        own = anchor_boxes[anchor]
        found = decode(offsets[picture, anchor], own)
        quality, distance = complete_overlap(found, wanted)
        target = quality.detach().clamp(min=0)
        known = functional.binary_cross_entropy_with_logits(logit[picture, anchor], target, reduction="none")
        score_loss = score_loss + (target * known).sum()
        box_loss = distance.sum()
        offset_loss = functional.smooth_l1_loss(offsets[picture, anchor], encode(wanted, own), reduction="sum")
    parts = {"score": score_loss / count, "box": box_loss / count, "offset": offset_loss / count}
    return {"loss": _SCORE * parts["score"] + _BOX * parts["box"] + _OFFSET * parts["offset"], **parts}


def complete_overlap(found: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection over union of pairs of boxes [N,4], and the CIoU distance of each (Zheng et al., 2020), FP32 [N]."""
    size, other = found[:, 2:] - found[:, :2], wanted[:, 2:] - wanted[:, :2]
    common = (torch.minimum(found[:, 2:], wanted[:, 2:]) - torch.maximum(found[:, :2], wanted[:, :2])).clamp(min=0)
    shared = common.prod(dim=1)
    quality = shared / (size.prod(dim=1) + other.prod(dim=1) - shared).clamp(min=1e-9)
    around = torch.maximum(found[:, 2:], wanted[:, 2:]) - torch.minimum(found[:, :2], wanted[:, :2])
    apart = (found[:, :2] + found[:, 2:] - wanted[:, :2] - wanted[:, 2:]) / 2
    centres = apart.square().sum(dim=1) / around.square().sum(dim=1).clamp(min=1e-9)
    shape = torch.atan(other[:, 0] / other[:, 1]) - torch.atan(size[:, 0] / size[:, 1])
    ratio = (2 / math.pi) ** 2 * shape.square()
    weight = (ratio / (1 - quality + ratio).clamp(min=1e-9)).detach()
    return quality, 1 - quality + centres + weight * ratio
