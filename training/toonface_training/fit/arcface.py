"""ArcFace on Paddle (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019)."""

from __future__ import annotations

import math
from typing import Any

import paddle
from paddle.nn import functional


class _Head(paddle.nn.Layer):  # type: ignore[misc]
    def __init__(self, dimension: int, num_classes: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([dimension, num_classes])


class ArcFace(paddle.nn.Layer):  # type: ignore[misc]
    """An embedder with a direction for each identity, parameters named as PaddleX names them.

    The angle between an embedding and the direction of its own identity is made larger by the margin before all angles
    go, as `scale` times their cosines, into a softmax; to be told apart, identities have to be that much further apart.
    Where the angle would pass 180 degrees, the cosine goes on falling as a straight line, as in PaddleClas's ArcMargin.
    """

    def __init__(self, backbone: Any, dimension: int, num_classes: int, scale: float) -> None:
        super().__init__()
        self.backbone, self._scale = backbone, scale
        self.head = _Head(dimension, num_classes)

    def forward(self, images: Any, labels: Any, margin: float) -> tuple[Any, Any]:
        """The mean loss, and the share of images nearest to their own identity.

        Args:
            images: FP32 [B,3,S,S]; S is 112, or less for a backbone that takes it.
            labels: INT64 [B].
            margin: in radians.
        """
        embeddings = functional.normalize(self.backbone(images).astype("float32"), axis=1)
        cosines = paddle.matmul(embeddings, functional.normalize(self.head.weight.astype("float32"), axis=0))
        own = functional.one_hot(labels, cosines.shape[1])
        cosine = (cosines * own).sum(axis=1, keepdim=True).clip(-1 + 1e-6, 1 - 1e-6)
        sine = (1 - cosine * cosine).sqrt()
        shifted = cosine * math.cos(margin) - sine * math.sin(margin)
        shifted = paddle.where(cosine > -math.cos(margin), shifted, cosine - margin * math.sin(margin))
        logits = (cosines + own * (shifted - cosine)) * self._scale
        right = (cosines.argmax(axis=1) == labels).astype("float32").mean()
        return functional.cross_entropy(logits, labels), right
