"""The one place that runs Paddle, in a process of its own.

Paddle writes to the terminal, keeps hundreds of megabytes, and may crash outright on a damaged or unsupported model.
`toonface_export.paddle_process` starts it as `python -m toonface_export.paddle_worker <job> <arguments>`, and turns a
failure into an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

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
    """Run one model with Paddle's executor on the CPU, in FP32 and without optimisations.

    Args:
        program: inference.json.
        parameters: inference.pdiparams.
        inputs: an .npz file with one array `<run>/<input name>` for each run and each input of the graph.
        outputs: the .npz file to write, with one array `<run>/<position of the output>` for each run and output. For a
            detector the first two inputs of its NMS besides: `<run>/boxes` [B,A,4] and `<run>/class_scores` [B,C,A].
    """
    paddle: Any = import_module("paddle")
    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    network, names, wanted = paddle.static.load_inference_model(
        str(Path(program).parent),
        executor,
        model_filename=str(Path(program).absolute()),
        params_filename=str(Path(parameters).absolute()),
    )
    block = network.global_block()
    for operation in [operation for operation in block.ops if operation.name() == "pd_op.fetch"]:
        block.remove_op(operation)  # fetching others besides fails while these are there
    labels = [str(position) for position in range(len(wanted))]
    for operation in block.ops:
        if operation.name() == "pd_op.multiclass_nms3":
            wanted += [operation.operand_source(0), operation.operand_source(1)]
            labels += ["boxes", "class_scores"]
    feeds: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, array in np.load(inputs).items():
        run, name = key.split("/", 1)
        feeds.setdefault(run, {})[name] = array
    results: dict[str, NDArray[np.float32]] = {}
    for run, feed in feeds.items():
        answers = executor.run(network, feed={name: feed[name] for name in names}, fetch_list=wanted)
        results |= {f"{run}/{label}": answer for label, answer in zip(labels, answers, strict=True)}
    with Path(outputs).open("wb") as file:
        np.savez(file, **results)


def translate(program: str, parameters: str, prefix: str) -> None:
    """Write a program of Paddle 2 (.pdmodel) in Paddle 3's form, as `<prefix>.json` and `<prefix>.pdiparams`.

    Paddle 3 does the same by itself whenever it runs such a program.
    """
    from paddle.base.executor import global_scope

    paddle: Any = import_module("paddle")
    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    with paddle.pir_utils.OldIrGuard():
        legacy, *_ = paddle.static.load_inference_model(
            str(Path(program).with_suffix("")), executor, model_filename=program, params_filename=parameters
        )
    translated = paddle.pir.translate_to_pir(legacy.desc)
    operations = translated.global_block().ops
    weights = [operation.result(0) for operation in operations if operation.name() == "builtin.parameter"]
    paddle.base.libpaddle.pir.create_loaded_parameter(weights, global_scope(), executor._default_executor)
    inputs = [result for operation in operations if operation.name() == "pd_op.feed" for result in operation.results()]
    outputs = [
        source
        for operation in operations
        if operation.name() == "pd_op.fetch"
        for source in operation.operands_source()
    ]
    with paddle.pir_utils.IrGuard():
        paddle.static.save_inference_model(prefix, inputs, outputs, executor, program=translated)


_JOBS: dict[str, Callable[..., None]] = {"to_onnx": to_onnx, "infer": infer, "translate": translate}

if __name__ == "__main__":
    try:
        _JOBS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:  # a full disk: to be told without the way there
        sys.exit(f"{error}")
