"""Ask Paddle for things: the ONNX form of a model, and its own answers, to hold the exported graph against."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_export.convertible import make_convertible
from toonface_export.paddle_model import PaddleModel
from toonface_export.paddle_program import read_program
from toonface_export.paddle_run import run_paddle
from toonface_export.prior_boxes import compute_prior_boxes
from toonface_export.scratch import scratch_folder


def convert_to_onnx(model: PaddleModel) -> onnx.ModelProto:
    """The model as paddle2onnx converts it: FP32, with its NMS still in it, not optimised.

    Raises:
        ExportError: Paddle or paddle2onnx refused the model, or crashed on it.
    """
    content, priors = make_convertible(read_program(model.program))
    with scratch_folder() as scratch:
        program, output = scratch / "inference.json", scratch / "model.onnx"
        program.write_text(json.dumps(content), encoding="utf-8")
        run_paddle(model.folder, "to_onnx", program, model.parameters, output)
        if not output.is_file():
            raise ExportError(f"paddle2onnx wrote nothing for {model.folder}")
        converted = onnx.load(output)
    for each in priors:
        converted = compute_prior_boxes(converted, each)
    return converted


Feed = Mapping[str, NDArray[np.float32]]
"""One array for each input of a program, by its name there."""


def paddle_outputs(model: PaddleModel, feeds: Sequence[Feed]) -> list[list[NDArray[np.float32]]]:
    """What Paddle itself answers, one list of output arrays for each feed.

    Args:
        model: the model to run, in FP32 on the CPU.
        feeds: for each run, the inputs.

    Raises:
        ExportError: Paddle failed on the model or an input.
    """
    return [[array for label, array in run.items() if label.isdecimal()] for run in _infer(model, feeds)]


@dataclass(frozen=True)
class PaddleDetections:
    """What Paddle makes of one picture.

    Attributes:
        rows: FP32 [N,6], after the NMS: class, score, x1, y1, x2, y2.
        boxes: FP32 [A,4], before it.
        class_scores: FP32 [C,A], before it.
    """

    rows: NDArray[np.float32]
    boxes: NDArray[np.float32]
    class_scores: NDArray[np.float32]


def paddle_detections(model: PaddleModel, feeds: Sequence[Feed]) -> list[PaddleDetections]:
    """What Paddle makes of pictures, before its NMS and after it.

    Args:
        model: a detector, run in FP32 on the CPU.
        feeds: for each picture, the inputs.

    Raises:
        ExportError: Paddle failed on the model or an input, or the program has no NMS.
    """
    runs = _infer(model, feeds)
    if "boxes" not in runs[0]:
        raise ExportError(f"{model.own_program} has no multiclass_nms3; export the detector with its NMS")
    return [PaddleDetections(run["0"], run["boxes"][0], run["class_scores"][0]) for run in runs]


def _infer(model: PaddleModel, feeds: Sequence[Feed]) -> list[dict[str, NDArray[np.float32]]]:
    """For each feed the arrays that `toonface_export.paddle_worker.infer` writes, in its order."""
    with scratch_folder() as scratch:
        inputs, outputs = scratch / "inputs.npz", scratch / "outputs.npz"
        with inputs.open("wb") as file:
            np.savez(file, **{f"{run}/{name}": array for run, feed in enumerate(feeds) for name, array in feed.items()})
        run_paddle(model.folder, "infer", model.program, model.parameters, inputs, outputs)
        answers: list[dict[str, NDArray[np.float32]]] = [{} for _ in feeds]
        with np.load(outputs) as results:
            for key in results.files:
                run, label = key.split("/")
                answers[int(run)][label] = results[key]
        return answers
