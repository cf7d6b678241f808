"""What the exporter knows of PaddleX's face models that their folders do not say themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorFamily:
    """Detectors that are exported alike.

    Attributes:
        name: for messages and the manifest.
        models: PaddleX model names.
        any_size: PaddleX feeds it pictures unscaled and its graph takes any size, so the exporter chooses the canvas.
            Otherwise inference.yml gives the size.
        stride: sides of the picture must be multiples of it: of the coarsest feature map's stride.
    """

    name: str
    models: tuple[str, ...]
    any_size: bool
    stride: int


# Strides from PaddleX's training files: fpn_strides 8 to 32 (PP-YOLOE) and 8 to 64 (PicoDet), anchor steps 8 and 16
# (BlazeFace).
DETECTOR_FAMILIES: tuple[DetectorFamily, ...] = (
    DetectorFamily("PP-YOLOE", ("PP-YOLOE_plus-S_face",), any_size=False, stride=32),
    DetectorFamily("PicoDet", ("PicoDet_LCNet_x2_5_face",), any_size=False, stride=64),
    DetectorFamily("BlazeFace", ("BlazeFace", "BlazeFace-FPN-SSH"), any_size=True, stride=16),
)

DETECTORS: tuple[str, ...] = tuple(name for family in DETECTOR_FAMILIES for name in family.models)
EMBEDDERS: tuple[str, ...] = ("MobileFaceNet", "ResNet50_face")


def family_of(detector: str) -> DetectorFamily:
    """The family of a detector named in `DETECTORS`."""
    return next(family for family in DETECTOR_FAMILIES if detector in family.models)
