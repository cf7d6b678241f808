"""BlazeFace's anchors: where they are, how offsets move them, and which shall find which face."""

from __future__ import annotations

import math

import torch

# Of each feature map: its stride, and the sides of the squares around each of its cells, in pixels.
MAPS = ((8, (16.0, 24.0)), (16, (32.0, 48.0, 64.0, 80.0, 96.0, 128.0)))
# SSD's variances: offsets of the centre and of the logarithm of the size are divided by these.
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
# A face may be at most so much larger than the largest anchor. Larger ones are for a coarser level of the pyramid that
# the detector is served with, where they are half as large.
LARGEST_FACE = 1.6 * MAPS[-1][1][-1]
# Smaller ones cannot be told from a speck.
SMALLEST_FACE = 9.0
# Anchors that learn a face: at most so many, and none whose overlap is less than this part of the best one's.
_MOST_ANCHORS = 10
_LEAST_OF_BEST = 0.6
# From this overlap up, an anchor that does not learn the face is not told that there is none either.
_UNSURE = 0.3
# The largest step of the logarithm of the size, against overflow in a network that knows nothing yet.
_LARGEST_STEP = 4.0


def anchors(height: int, width: int) -> torch.Tensor:
    """FP32 [A,4], centre x, centre y, width and height, in the order of the network's answers."""
    levels = []
    for stride, sides in MAPS:
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        y, x, side = torch.meshgrid(
            (torch.arange(rows) + 0.5) * stride,
            (torch.arange(columns) + 0.5) * stride,
            torch.tensor(sides),
            indexing="ij",
        )
        levels.append(torch.stack([x, y, side, side], dim=-1).reshape(-1, 4))
    return torch.cat(levels)


def decode(offsets: torch.Tensor, anchor_boxes: torch.Tensor) -> torch.Tensor:
    """Boxes FP32 [...,A,4] (x1, y1, x2, y2) of offsets [...,A,4] from anchors [A,4]."""
    centre = anchor_boxes[:, :2] + offsets[..., :2] * CENTRE_VARIANCE * anchor_boxes[:, 2:]
    half = torch.exp((offsets[..., 2:] * SIZE_VARIANCE).clamp(max=_LARGEST_STEP)) * anchor_boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def encode(boxes: torch.Tensor, anchor_boxes: torch.Tensor) -> torch.Tensor:
    """The offsets [N,4] that make boxes [N,4] of anchors [N,4]."""
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    moved = (centre - anchor_boxes[:, :2]) / anchor_boxes[:, 2:] / CENTRE_VARIANCE
    return torch.cat([moved, torch.log(size / anchor_boxes[:, 2:]) / SIZE_VARIANCE], dim=1)


def assign(faces: torch.Tensor, anchor_boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which anchor shall find which face.

    Each face is learned by the anchors that overlap it best, however little that is. SSD's fixed threshold leaves next
    to none to a small face between two cells, or to one larger than the largest anchor.

    Args:
        faces: FP32 [n,4], x1, y1, x2, y2.
        anchor_boxes: FP32 [A,4], of `anchors`.

    Returns:
        INT64 [A], the face that each anchor learns, -1 for none; and BOOL [A], which of the latter learn that there is
        no face: all but those near a face, and those that a face too large or too small for the network could match.
    """
    face = torch.full((len(anchor_boxes),), -1)
    empty = torch.ones(len(anchor_boxes), dtype=torch.bool)
    if not len(faces):
        return face, empty
    corners = torch.cat(
        [anchor_boxes[:, :2] - anchor_boxes[:, 2:] / 2, anchor_boxes[:, :2] + anchor_boxes[:, 2:] / 2], dim=1
    )
    overlaps = overlap(faces, corners)
    side = (faces[:, 2:] - faces[:, :2]).amax(dim=1)
    learnable = (side >= SMALLEST_FACE) & (side <= LARGEST_FACE)
    best, order = overlaps.topk(_MOST_ANCHORS, dim=1)
    chosen = torch.zeros_like(overlaps, dtype=torch.bool)
    chosen.scatter_(1, order, (best >= _LEAST_OF_BEST * best[:, :1]) & learnable[:, None])
    # An anchor that two faces chose learns the one that it overlaps more.
    strength, owner = (overlaps * chosen).max(dim=0)
    face[strength > 0] = owner[strength > 0]
    empty = overlaps.amax(dim=0) < _UNSURE
    small = faces[side < SMALLEST_FACE]
    if len(small):
        empty &= ~(overlap(small, corners) > 0).any(dim=0) | (anchor_boxes[:, 2] > MAPS[0][1][-1])
    return face, empty & (face < 0)


def overlap(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each box [n,4] with each of [m,4]: FP32 [n,m]."""
    meet = torch.minimum(first[:, None, 2:], second[None, :, 2:]) - torch.maximum(
        first[:, None, :2], second[None, :, :2]
    )
    common = meet.clamp(min=0).prod(dim=-1)
    area, other = ((boxes[:, 2:] - boxes[:, :2]).prod(dim=-1) for boxes in (first, second))
    return common / (area[:, None] + other[None] - common).clamp(min=1e-9)
