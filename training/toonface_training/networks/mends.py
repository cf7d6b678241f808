"""What PaddleDetection and PaddleClas 2.6.0 need to train and export under Paddle 3: every mend, in one place.

Each function replaces what is stale in one of the libraries, once. Each replacement says what was stale.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from toonface_training.networks.zoo import classification, detection


@cache
def mend_classification() -> None:
    """Give PaddleClas a log, which its networks write to and only its own trainer sets up."""
    log = logging.getLogger("paddleclas")
    log.setLevel(logging.ERROR)
    classification("backbone.base.theseus_layer").logger._logger = log


@cache
def mend_detection() -> None:
    """Replace what does not train, or cannot be traced, in PaddleDetection."""
    detection("losses.ssd_loss").SSDLoss._mine_hard_example = _mine_hard_example
    detection("layers").AnchorGeneratorSSD.__call__ = _anchors
    operations = detection("ops")
    operations.multiclass_nms = _multiclass_nms(operations.multiclass_nms)
    head = detection("heads.ppyoloe_head").PPYOLOEHead
    head.forward_train = _with_integer_classes(head.forward_train)


def _mine_hard_example(
    self: Any, conf_loss: Any, targets_label: Any, bg_index: int, mine_neg_ratio: float = 0.01
) -> Any:
    """Which anchors count in SSD's loss: those of a face, and the `neg_pos_ratio` as many hardest of the others.

    The library compares ranks (integers) with counts (floats), which Paddle 3 refuses.

    Args:
        self: the `SSDLoss`.
        conf_loss: [B, A] float32, the classification loss of each anchor.
        targets_label: [B, A] int64, the class that each anchor shall have.
        bg_index: the class that means background.
        mine_neg_ratio: the share of anchors that counts in a picture without a face.

    Returns:
        [B, A] bool.
    """
    import paddle

    positive = targets_label != bg_index
    background_loss = paddle.where(positive, paddle.zeros_like(conf_loss), conf_loss.detach())
    rank = background_loss.argsort(axis=1, descending=True).argsort(axis=1).astype("float32")
    anchors = float(conf_loss.shape[1])
    wanted = positive.astype("float32").sum(axis=1, keepdim=True) * self.neg_pos_ratio
    wanted = paddle.where(wanted > 0, wanted.clip(max=anchors), paddle.full_like(wanted, anchors * mine_neg_ratio))
    return paddle.logical_or(rank < wanted, positive)


def _anchors(self: Any, inputs: Any, image: Any) -> Any:
    """SSD's anchors by plain arithmetic, for pictures of any size.

    The library calls Paddle's operator `prior_box` in a way that Paddle 3 does not trace, and paddle2onnx cannot
    convert that operator. For anchors that are square, which those of BlazeFace are, the values are the same.

    Args:
        self: the `AnchorGeneratorSSD`, with one aspect ratio of 1 and no largest sizes.
        inputs: feature maps, each [B, C, h, w].
        image: [B, 3, H, W].

    Returns:
        For each feature map [h * w * sizes, 4] float32: x1, y1, x2, y2 as shares of the picture.
    """
    import paddle

    height, width = (paddle.shape(image)[axis].astype("float32") for axis in (2, 3))
    anchors = []
    for level, feature in enumerate(inputs):
        step = self.steps[level]
        rows, columns = paddle.shape(feature)[2], paddle.shape(feature)[3]
        y = ((paddle.arange(rows).astype("float32") + self.offset) * step).reshape([-1, 1, 1])
        x = ((paddle.arange(columns).astype("float32") + self.offset) * step).reshape([1, -1, 1])
        half = paddle.to_tensor([size / 2 for size in self.min_sizes[level]], dtype="float32").reshape([1, 1, -1])
        # Adding zeros lets each grow to the shape of all three.
        x, y, half = x + (y + half) * 0.0, y + (x + half) * 0.0, half + (x + y) * 0.0
        corners = [(x - half) / width, (y - half) / height, (x + half) / width, (y + half) / height]
        anchors.append(paddle.stack(corners, axis=-1).reshape([-1, 4]))
    return anchors


def _multiclass_nms(original: Any) -> Any:
    """`ppdet.modeling.ops.multiclass_nms` for Paddle 3, whose traced programs have no `append_op`."""
    import paddle
    from paddle import _C_ops

    if not paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]:
        return original  # the process traces programs in Paddle 2's form

    @paddle.jit.not_to_static  # type: ignore[untyped-decorator]
    def multiclass_nms(
        bboxes: Any,
        scores: Any,
        score_threshold: float,
        nms_top_k: int,
        keep_top_k: int,
        nms_threshold: float = 0.3,
        normalized: bool = True,
        nms_eta: float = 1.0,
        background_label: int = -1,
        return_index: bool = False,
        return_rois_num: bool = True,
        rois_num: Any = None,
    ) -> Any:
        found, index, count = _C_ops.multiclass_nms3(
            bboxes,
            scores,
            rois_num,
            float(score_threshold),
            int(nms_top_k),
            int(keep_top_k),
            float(nms_threshold),
            bool(normalized),
            float(nms_eta),
            int(background_label),
        )
        return found, count if return_rois_num else None, index if return_index else None

    return multiclass_nms


def _with_integer_classes(forward_train: Any) -> Any:
    """PP-YOLOE's assigners add the classes to int64 indices; Paddle 3 does not add int32 to int64."""

    def forward(self: Any, feats: Any, targets: Any, aux_pred: Any = None) -> Any:
        return forward_train(self, feats, {**targets, "gt_class": targets["gt_class"].astype("int64")}, aux_pred)

    return forward
