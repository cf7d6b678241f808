"""ArcFace in PyTorch (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

# Keeps the square root of 1 - cosine^2 away from 0, where its slope is infinite.
_LARGEST_COSINE = 1 - 1e-6


class ArcFace(nn.Module):
    """An embedder with a direction for each identity; see `toonface_training.fit.arcface`, whose twin it is."""

    def __init__(self, backbone: nn.Module, dimension: int, identities: int, scale: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = _Head(dimension, identities)
        self.scale = scale

    def losses(self, features: torch.Tensor, labels: torch.Tensor, margin: float) -> dict[str, torch.Tensor]:
        """The cross entropy of a batch, and its accuracy with the margin left out.

        Args:
            features: FP32 [B,D], of the backbone.
            labels: INT64 [B].
            margin: added to the angle between a face and its own identity, in radians. Where the sum would exceed half
                a turn, the cosine falls by as much as it does there.
        """
        cosines = functional.normalize(features) @ functional.normalize(self.head.weight, dim=0)
        own = cosines.gather(1, labels[:, None]).clamp(-_LARGEST_COSINE, _LARGEST_COSINE)
        turned = own * math.cos(margin) - (1 - own * own).sqrt() * math.sin(margin)
        turned = torch.where(own > -math.cos(margin), turned, own - margin * math.sin(margin))
        loss = functional.cross_entropy(self.scale * cosines.scatter(1, labels[:, None], turned), labels)
        return {"loss": loss, "accuracy": (cosines.argmax(dim=1) == labels).float().mean()}


class _Head(nn.Module):
    def __init__(self, dimension: int, identities: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dimension, identities))
