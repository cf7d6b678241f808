"""Write inference folders of random models, as Paddle and PaddleDetection write them by themselves.

    python write_models.py FOLDER NAME...

With FLAGS_enable_pir_api=0 in the environment the programs are in Paddle 2's form. The detectors' anchors come from
Paddle's operator `prior_box`, as in PaddleX's own exports; toonface's training writes plain arithmetic in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
from paddle.base.layer_helper import LayerHelper

from toonface_benchmarks.random_models import write_random_model
from toonface_training.networks.mends import mend_detection
from toonface_training.networks.zoo import detection


def _use_prior_box() -> None:
    """Give PaddleDetection its own anchors back, with a `prior_box` that Paddle 3 can trace."""
    generator = detection("layers").AnchorGeneratorSSD
    own = generator.__call__
    mend_detection()
    generator.__call__ = own
    if not paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]:
        return

    @paddle.jit.not_to_static
    def prior_box(**given: Any) -> Any:
        return paddle.vision.ops.prior_box(**{**given, "max_sizes": given["max_sizes"] or None})

    detection("ops").prior_box = prior_box


def _trace_in_the_older_form() -> None:
    """Two functions that Paddle 3.2 traces in its own form alone, which PP-YOLOE and PicoDet use, for the older one."""
    for module, name, operator, inputs in (
        (paddle.nn.functional, "sigmoid", "sigmoid", ("X",)),
        (paddle, "multiply", "elementwise_mul", ("X", "Y")),
    ):
        setattr(module, name, _traced(getattr(module, name), operator, inputs))


def _traced(own: Callable[..., Any], operator: str, inputs: tuple[str, ...]) -> Callable[..., Any]:
    def function(*positional: Any, **by_name: Any) -> Any:
        values = (*positional, *by_name.values())
        if paddle.in_dynamic_mode():
            return own(*values)
        helper = LayerHelper(operator)
        output = helper.create_variable_for_type_inference(dtype=values[0].dtype)
        named = {name: [value] for name, value in zip(inputs, values, strict=True)}
        helper.append_op(type=operator, inputs=named, outputs={"Out": [output]})
        return output

    return function


if __name__ == "__main__":
    _use_prior_box()
    if not paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]:
        _trace_in_the_older_form()
    for name in sys.argv[2:]:
        write_random_model(name, Path(sys.argv[1]) / name)
