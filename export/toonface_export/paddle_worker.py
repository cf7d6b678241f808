"""The one place that runs Paddle, in a process of its own.

Paddle writes to the terminal, keeps hundreds of megabytes, and may crash outright on a damaged or unsupported model.
`toonface_export.paddle_process` starts it as `python -m toonface_export.paddle_worker <job> <arguments>`, and turns a
failure into an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# ONNX opset of the exported graphs: the newest that paddle2onnx 2.1.0 converts all six models to.
OPSET = 17


def to_onnx(program: str, parameters: str, output: str) -> None:
    """Convert one model, and write the graph to `output` untouched by any optimiser.

    paddle2onnx's default optimiser may install packages by itself; `optimize_tool="None"` keeps it out.
    """
    import paddle2onnx

    paddle2onnx.export(program, parameters, output, opset_version=OPSET, optimize_tool="None")


def infer(program: str, parameters: str, inputs: str, outputs: str) -> None:
    """Run one model with paddle.inference on the CPU, in FP32.

    Args:
        program: inference.json.
        parameters: inference.pdiparams.
        inputs: an .npz file with one array `<run>/<input name>` for each run and each input of the graph.
        outputs: the .npz file to write, with one array `<run>/<position of the output>` for each run and output.
    """
    from paddle.inference import Config, create_predictor

    config = Config(program, parameters)
    config.disable_gpu()
    config.disable_glog_info()
    predictor = create_predictor(config)
    feeds: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, array in np.load(inputs).items():
        run, name = key.split("/", 1)
        feeds.setdefault(run, {})[name] = array
    results = {}
    for run, feed in feeds.items():
        for name in predictor.get_input_names():
            predictor.get_input_handle(name).copy_from_cpu(feed[name])
        predictor.run()
        for position, name in enumerate(predictor.get_output_names()):
            results[f"{run}/{position}"] = predictor.get_output_handle(name).copy_to_cpu()
    with Path(outputs).open("wb") as file:
        np.savez(file, **results)


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    if job == "to_onnx":
        to_onnx(*arguments)
    else:
        infer(*arguments)
