"""Paddle's operator `prior_box`, by which BlazeFace makes its anchors, in operators that ONNX has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from toonface_contract.errors import ExportError
from toonface_export.onnx_graph import constant

_PICTURE = "image"


@dataclass(frozen=True)
class PriorBoxes:
    """The anchors of one feature map: squares around the middle of each of its cells.

    Attributes:
        name: of what is made of them: `<name>.boxes` and `<name>.variances`.
        sizes: sides in pixels of the picture.
        steps: width and height of a cell in pixels of the picture.
        offset: where in its cell a square has its middle, as a share of the cell.
        variances: handed through.
    """

    name: str
    sizes: tuple[float, ...]
    steps: tuple[float, float]
    offset: float
    variances: tuple[float, ...]

    @property
    def outputs(self) -> tuple[str, str]:
        """Names of the two tensors: boxes FP32 [h,w,A,4] (x1, y1, x2, y2 as shares of the picture), and variances."""
        return f"{self.name}.boxes", f"{self.name}.variances"


def read_prior_boxes(name: str, attributes: Mapping[str, Any]) -> PriorBoxes:
    """The anchors of a `prior_box` operation with these attributes.

    Raises:
        ExportError: they are not plain squares, which is what the known detectors have.
    """
    simple = attributes["aspect_ratios"] == [1.0] and not attributes["max_sizes"] and not attributes["clip"]
    steps = attributes["step_w"], attributes["step_h"]
    if not simple or min(steps) <= 0 or any(step % 1 for step in steps):
        raise ExportError(
            f"the program has a prior_box with aspect_ratios {attributes['aspect_ratios']}, max_sizes "
            f"{attributes['max_sizes']}, clip {attributes['clip']} and steps {list(steps)}; known are squares of one "
            "size each, unclipped, with whole steps"
        )
    return PriorBoxes(name, tuple(attributes["min_sizes"]), steps, attributes["offset"], tuple(attributes["variances"]))


def compute_prior_boxes(model: onnx.ModelProto, priors: PriorBoxes) -> onnx.ModelProto:
    """The same graph, in which the two outputs of `priors` are no inputs any more but computed from the picture's size.

    The feature map has a cell for each step that begins in the picture, as a convolution with padding makes it.
    """
    name, (boxes, variances) = priors.name, priors.outputs
    constants = [
        constant(f"{name}.zero", 0, np.int64),
        constant(f"{name}.one", 1, np.int64),
        constant(f"{name}.half", np.asarray(priors.sizes) / 2),
        constant(f"{name}.offset", priors.offset),
        constant(f"{name}.nothing", 0),
        constant(f"{name}.last", [-1], np.int64),
        constant(f"{name}.variance", priors.variances),
    ]
    nodes = [helper.make_node("Shape", [_PICTURE], [f"{name}.shape"])]
    # The middles as columns [w,1] and rows [h,1,1], so that with the sizes [A] each grows to [h,w,A].
    for axis, dimension, step, around in (("x", 3, priors.steps[0], [1]), ("y", 2, priors.steps[1], [1, 2])):
        part = f"{name}.{axis}"
        constants += [
            constant(f"{part}.axis", dimension, np.int64),
            constant(f"{part}.step", step, np.int64),
            constant(f"{part}.pixels", step),
            constant(f"{part}.rest", step - 1, np.int64),
            constant(f"{part}.around", around, np.int64),
        ]
        nodes += [
            helper.make_node("Gather", [f"{name}.shape", f"{part}.axis"], [f"{part}.side"]),
            helper.make_node("Add", [f"{part}.side", f"{part}.rest"], [f"{part}.rounded"]),
            helper.make_node("Div", [f"{part}.rounded", f"{part}.step"], [f"{part}.cells"]),
            helper.make_node("Range", [f"{name}.zero", f"{part}.cells", f"{name}.one"], [f"{part}.cell"]),
            helper.make_node("Cast", [f"{part}.cell"], [f"{part}.corner"], to=TensorProto.FLOAT),
            helper.make_node("Add", [f"{part}.corner", f"{name}.offset"], [f"{part}.shifted"]),
            helper.make_node("Mul", [f"{part}.shifted", f"{part}.pixels"], [f"{part}.middles"]),
            helper.make_node("Unsqueeze", [f"{part}.middles", f"{part}.around"], [f"{part}.middle"]),
            helper.make_node("Mul", [f"{part}.middle", f"{name}.nothing"], [f"{part}.nothing"]),
            helper.make_node("Cast", [f"{part}.side"], [f"{part}.length"], to=TensorProto.FLOAT),
        ]
    corners = []
    for operator, end in (("Sub", "1"), ("Add", "2")):
        for axis, other in (("x", "y"), ("y", "x")):
            corner = f"{name}.{axis}{end}"
            corners.append(f"{corner}.cornered")
            nodes += [
                helper.make_node(operator, [f"{name}.{axis}.middle", f"{name}.half"], [f"{corner}.flat"]),
                helper.make_node("Add", [f"{corner}.flat", f"{name}.{other}.nothing"], [f"{corner}.grown"]),
                helper.make_node("Div", [f"{corner}.grown", f"{name}.{axis}.length"], [corner]),
                helper.make_node("Unsqueeze", [corner, f"{name}.last"], [f"{corner}.cornered"]),
            ]
    nodes += [
        helper.make_node("Concat", corners, [boxes], axis=-1),
        helper.make_node("Shape", [boxes], [f"{name}.boxes.shape"]),
        helper.make_node("Expand", [f"{name}.variance", f"{name}.boxes.shape"], [variances]),
    ]
    graph = model.graph
    computed = helper.make_graph(
        [*nodes, *graph.node],
        graph.name,
        [value for value in graph.input if value.name not in priors.outputs],
        graph.output,
        initializer=[*graph.initializer, *constants],
    )
    return helper.make_model(computed, opset_imports=model.opset_import, ir_version=model.ir_version)
