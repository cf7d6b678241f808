"""The four detectors, put together as PaddleX's training files say, from PaddleDetection's parts."""

from __future__ import annotations

from typing import Any

from toonface_training.networks.mends import mend_detection
from toonface_training.networks.zoo import detection

_BLAZE_ANCHORS = ((16.0, 24.0), (32.0, 48.0, 64.0, 80.0, 96.0, 128.0))


def build_detector(name: str, num_classes: int) -> Any:
    """A new detector, a `paddle.nn.Layer`; see `toonface_training.networks.build`."""
    mend_detection()
    if name == "PP-YOLOE_plus-S_face":
        return _pp_yoloe(num_classes)
    if name == "PicoDet_LCNet_x2_5_face":
        return _picodet(num_classes)
    return _blazeface(num_classes, fpn_ssh=name == "BlazeFace-FPN-SSH")


def _pp_yoloe(num_classes: int) -> Any:
    scale = {"width_mult": 0.50, "depth_mult": 0.33}
    backbone = detection("backbones.cspresnet").CSPResNet(
        layers=[3, 6, 6, 3], channels=[64, 128, 256, 512, 1024], use_large_stem=True, use_alpha=True, **scale
    )
    neck = detection("necks.custom_pan").CustomCSPPAN(
        in_channels=_channels(backbone), out_channels=[768, 384, 192], act="swish", spp=True, **scale
    )
    head = detection("heads.ppyoloe_head").PPYOLOEHead(
        in_channels=_channels(neck),
        num_classes=num_classes,
        static_assigner_epoch=30,
        static_assigner=detection("assigners.atss_assigner").ATSSAssigner(topk=9, num_classes=num_classes),
        assigner=detection("assigners.task_aligned_assigner").TaskAlignedAssigner(topk=13, alpha=1.0, beta=6.0),
        nms=_nms(nms_top_k=1000, keep_top_k=300, score_threshold=0.01, nms_threshold=0.7),
    )
    return detection("architectures.yolo").YOLOv3(backbone, neck, head, post_process=None)


def _picodet(num_classes: int) -> Any:
    heads = detection("heads.pico_head")
    backbone = detection("backbones.lcnet").LCNet(scale=2.5, feature_maps=[3, 4, 5])
    neck = detection("necks.csp_pan").CSPPAN(
        in_channels=_channels(backbone),
        out_channels=128,
        use_depthwise=True,
        num_csp_blocks=1,
        num_features=4,
        # A list of our own: the network appends to it, and the next one would inherit what was appended to the default.
        spatial_scales=[1 / 8, 1 / 16, 1 / 32],
    )
    head = heads.PicoHead(
        conv_feat=heads.PicoFeat(feat_in=128, feat_out=128, num_convs=4, num_fpn_stride=4, share_cls_reg=True),
        num_classes=num_classes,
        fpn_stride=[8, 16, 32, 64],
        feat_in_chan=128,
        prior_prob=0.01,
        reg_max=7,
        cell_offset=0.5,
        loss_class=detection("losses.varifocal_loss").VarifocalLoss(loss_weight=1.0),
        loss_dfl=detection("losses.gfocal_loss").DistributionFocalLoss(loss_weight=0.25),
        loss_bbox=detection("losses.iou_loss").GIoULoss(loss_weight=2.0),
        assigner=detection("assigners.simota_assigner").SimOTAAssigner(
            candidate_topk=10, iou_weight=6, num_classes=num_classes
        ),
        nms=_nms(nms_top_k=1000, keep_top_k=100, score_threshold=0.025, nms_threshold=0.6),
    )
    return detection("architectures.picodet").PicoDet(backbone, neck, head)


def _blazeface(num_classes: int, *, fpn_ssh: bool) -> Any:
    backbone = detection("backbones.blazenet").BlazeNet(act="hard_swish" if fpn_ssh else "relu")
    neck = detection("necks.blazeface_fpn").BlazeNeck([96, 96], neck_type="fpn_ssh" if fpn_ssh else "None")
    anchors = detection("layers").AnchorGeneratorSSD(
        steps=[8.0, 16.0],
        aspect_ratios=[[1.0], [1.0]],
        min_sizes=[list(sizes) for sizes in _BLAZE_ANCHORS],
        max_sizes=[[], []],
        flip=False,
    )
    head = detection("heads.face_head").FaceHead(
        num_classes=num_classes,
        in_channels=[48, 48] if fpn_ssh else [96, 96],
        anchor_generator=anchors,
        loss=detection("losses.ssd_loss").SSDLoss(overlap_threshold=0.35),
    )
    post_process = detection("post_process").BBoxPostProcess(
        num_classes=num_classes,
        decode=detection("layers").SSDBox(),
        nms=_nms(nms_top_k=5000, keep_top_k=750, score_threshold=0.01, nms_threshold=0.3),
    )
    return detection("architectures.blazeface").BlazeFace(backbone, head, neck, post_process)


def _nms(**settings: float) -> Any:
    return detection("layers").MultiClassNMS(**settings)


def _channels(part: Any) -> list[int]:
    return [shape.channels for shape in part.out_shape]
