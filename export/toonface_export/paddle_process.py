"""Ask Paddle for things: the ONNX form of a model, and its own answers, to hold the exported graph against."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_export.paddle_model import PaddleModel

# Lines of Paddle's own output to quote when it fails.
_TAIL = 12


def convert_to_onnx(model: PaddleModel) -> onnx.ModelProto:
    """The model as paddle2onnx converts it: FP32, with its NMS still in it, not optimised.

    Raises:
        ExportError: Paddle or paddle2onnx refused the model, or crashed on it.
    """
    with tempfile.TemporaryDirectory(prefix="toonface-") as scratch:
        output = Path(scratch) / "model.onnx"
        _run(model, "to_onnx", str(output))
        if not output.is_file():
            raise ExportError(f"paddle2onnx wrote nothing for {model.folder}")
        return onnx.load(output)


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
        _run(model, "infer", str(inputs), str(outputs))
        with np.load(outputs) as results:
            positions = 1 + max(int(key.split("/")[1]) for key in results)
            return [[results[f"{run}/{position}"] for position in range(positions)] for run in range(len(feeds))]


def _run(model: PaddleModel, job: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "toonface_export.paddle_worker", job]
    command += [str(model.program), str(model.parameters), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")  # noqa: S603  (our own module)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL:])
        raise ExportError(f"Paddle failed on {model.folder} ({job}, exit code {done.returncode}):\n{said}")
