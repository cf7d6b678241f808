"""A Paddle program put in words that paddle2onnx 2.1.0 has: the function stays the same."""

from __future__ import annotations

import copy
from typing import Any

from toonface_export.paddle_program import Operation, attributes, blocks, is_called
from toonface_export.prior_boxes import PriorBoxes, read_prior_boxes


def make_convertible(content: dict[str, Any]) -> tuple[dict[str, Any], list[PriorBoxes]]:
    """The program in a form that paddle2onnx converts.

    Each `prior_box`, which paddle2onnx does not know, becomes two inputs. Who converts the program computes them from
    the picture's size: `toonface_export.prior_boxes.compute_prior_boxes`.

    Raises:
        ExportError: there is a `prior_box` that cannot be put otherwise.
    """
    changed = copy.deepcopy(content)
    priors: list[PriorBoxes] = []
    for block in blocks(changed):
        operations = []
        for operation in block["ops"]:
            if is_called(operation, "prior_box"):
                priors.append(read_prior_boxes(f"prior_box_{len(priors)}", attributes(operation)))
                operations += _as_inputs(operation, priors[-1])
            else:
                operations.append(operation)
        block["ops"] = operations
    return changed, priors


def _as_inputs(operation: Operation, priors: PriorBoxes) -> list[Operation]:
    """Two inputs of the program, FP32 [h,w,A,4], in the place of a `prior_box`."""
    shape = [-1, -1, len(priors.sizes), 4]
    return [
        {
            "#": "1.data",
            "A": [
                {"N": "name", "AT": {"#": "0.a_str", "D": name}},
                {"N": "shape", "AT": {"#": "1.a_intarray", "D": shape}},
                {"N": "dtype", "AT": {"#": "1.a_dtype", "D": "float32"}},
                {"N": "place", "AT": {"#": "1.a_place", "D": [0, 0, ""]}},
            ],
            "I": [],
            "O": [output],
            "OA": [{"N": "stop_gradient", "AT": {"#": "0.a_array", "D": [{"#": "0.a_bool", "D": True}]}}],
        }
        for name, output in zip(priors.outputs, operation["O"], strict=True)
    ]
