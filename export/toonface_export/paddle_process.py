"""Ask Paddle for things: the ONNX form of a model, and its own answers, to hold the exported graph against."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_export.convertible import make_convertible
from toonface_export.paddle_model import PaddleModel
from toonface_export.paddle_program import read_program
from toonface_export.paddle_run import run_paddle
from toonface_export.prior_boxes import compute_prior_boxes


def convert_to_onnx(model: PaddleModel) -> onnx.ModelProto:
    """The model as paddle2onnx converts it: FP32, with its NMS still in it, not optimised.

    Raises:
        ExportError: Paddle or paddle2onnx refused the model, or crashed on it.
    """
    content, priors = make_convertible(read_program(model.program))
    with tempfile.TemporaryDirectory(prefix="toonface-") as scratch:
        program, output = Path(scratch) / "inference.json", Path(scratch) / "model.onnx"
        program.write_text(json.dumps(content), encoding="utf-8")
        run_paddle(model.folder, "to_onnx", program, model.parameters, output)
        if not output.is_file():
            raise ExportError(f"paddle2onnx wrote nothing for {model.folder}")
        converted = onnx.load(output)
    for each in priors:
        converted = compute_prior_boxes(converted, each)
    return converted


def paddle_outputs(
    model: PaddleModel, feeds: Sequence[Mapping[str, NDArray[np.float32]]]
) -> list[list[NDArray[np.float32]]]:
    """What Paddle itself answers, one list of output arrays for each feed.

    Args:
        model: the model to run, in FP32 on the CPU.
        feeds: for each run, one array for each input of the graph, by its Paddle name.

    Raises:
        ExportError: Paddle failed on the model or an input.
    """
    with tempfile.TemporaryDirectory(prefix="toonface-") as scratch:
        inputs, outputs = Path(scratch) / "inputs.npz", Path(scratch) / "outputs.npz"
        with inputs.open("wb") as file:
            np.savez(file, **{f"{run}/{name}": array for run, feed in enumerate(feeds) for name, array in feed.items()})
        run_paddle(model.folder, "infer", model.program, model.parameters, inputs, outputs)
        with np.load(outputs) as results:
            positions = 1 + max(int(key.split("/")[1]) for key in results)
            return [[results[f"{run}/{position}"] for position in range(positions)] for run in range(len(feeds))]
