"""The nodes by which a served graph takes pixels where the network takes normalised numbers."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from toonface_export.onnx_graph import constant
from toonface_export.preprocessing import Normalisation

PIXEL_NODES: tuple[str, ...] = ("float_pixels", "planar_pixels", "scaled_pixels", "shifted_pixels")
"""Names of the nodes that `fused_input` makes, as far as folding leaves them."""


def fused_input(
    pixels: str, output: str, normalisation: Normalisation
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes from `pixels` UINT8 [B,h,w,3] to `output` FP32 [B,3,h,w], normalised, and the constants that they read.

    The channels are separated before the arithmetic, which CPUs do faster along rows of one channel: that takes a
    quarter off a 640 x 640 BlazeFace-FPN-SSH in ONNX Runtime. The cast still comes first, since TensorRT takes UINT8
    into casts alone.
    """
    factor, offset = normalisation.factor.reshape(1, 3, 1, 1), normalisation.offset.reshape(1, 3, 1, 1)
    cast, planar, scaled, shifted = PIXEL_NODES
    return [
        helper.make_node("Cast", [pixels], ["float_pixels"], name=cast, to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float_pixels"], ["planar_pixels"], name=planar, perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planar_pixels", "pixel_factor"], ["scaled_pixels"], name=scaled),
        helper.make_node("Add", ["scaled_pixels", "pixel_offset"], [output], name=shifted),
    ], [constant("pixel_factor", factor), constant("pixel_offset", offset)]
