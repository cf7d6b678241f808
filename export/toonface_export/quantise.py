"""INT8 for OpenVINO, by post-training quantisation on pictures like those that will be served."""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toonface_export.scratch import scratch_folder

# A name that OpenVINO gives to operations without one, such as `Multiply_25177`; ours begin with a small letter.
_GIVEN_NAME = re.compile(r"(?P<kind>[A-Z]\w*)_\d+")
_ARITHMETIC = ("Convolution", "GroupConvolution", "MatMul")


def quantise(model: onnx.ModelProto, pictures: NDArray[np.uint8]) -> dict[str, bytes]:
    """Quantise a served graph: weights symmetrically, activations where that helps (the preset `mixed`).

    What lies between the pixels and the end of the first convolution stays in floating point, so that the fused
    preprocessing remains exact; so do the last convolutions and what comes after them: the decoding of boxes and
    scores, or the L2 norm.

    Args:
        model: a graph with one input UINT8 [B,h,w,3].
        pictures: UINT8 [N,h,w,3] to take statistics over.

    Returns:
        OpenVINO's model.xml and model.bin by file name.
    """
    # NNCF writes its progress on the standard output, where a manifest may be read.
    with redirect_stdout(io.StringIO()):
        return _quantise(model, pictures)


def _quantise(model: onnx.ModelProto, pictures: NDArray[np.uint8]) -> dict[str, bytes]:
    import nncf
    import openvino
    from openvino._offline_transformations import apply_moc_transformations  # type: ignore[import-untyped]

    logging.getLogger("nncf").setLevel(logging.ERROR)
    with scratch_folder() as scratch:
        source, target = scratch / "model.onnx", scratch / "model.xml"
        onnx.save(model, source)
        network = openvino.Core().read_model(source)
        # What OpenVINO's own converter applies. Among others it joins `x * sigmoid(x)` to one operation, which NNCF
        # leaves whole and the CPU computes together with the convolution before it.
        apply_moc_transformations(network, cf=False)
        # For one picture at a time, as the server computes; the saved model takes any number again.
        shape = list(network.inputs[0].partial_shape)
        _number(network)
        network.reshape({network.inputs[0].any_name: [1, *shape[1:]]})
        quantised = nncf.quantize(
            network,
            nncf.Dataset([pictures[row : row + 1] for row in range(len(pictures))]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(names=exact_operations(network)),
        )
        quantised.reshape({quantised.inputs[0].any_name: shape})
        _number(quantised)
        openvino.save_model(quantised, target, compress_to_fp16=False)
        return {path.name: path.read_bytes() for path in (target, target.with_suffix(".bin"))}


def _number(network: Any) -> None:
    """Number the operations that OpenVINO named by itself anew, in their order.

    It counts through all that the process has made so far, so that the same network is never named alike twice.
    """
    seen: Counter[str] = Counter()
    for operation in network.get_ordered_ops():
        if given := _GIVEN_NAME.fullmatch(operation.get_friendly_name()):
            kind = given["kind"]
            operation.set_friendly_name(f"{kind}_{seen[kind]}")
            seen[kind] += 1


def exact_operations(network: Any) -> list[str]:
    """Names of the operations of an `openvino.Model` that are not to be quantised, sorted: see `quantise`."""
    first = _reached((reader for source in network.get_parameters() for reader in _readers(source)), _readers)
    last = _reached((source for result in network.get_results() for source in _sources(result)), _sources)
    return sorted(name for name, kind in (first | last).items() if kind not in ("Constant", "Result"))


def _reached(start: Iterable[Any], neighbours: Callable[[Any], list[Any]]) -> dict[str, str]:
    """Operations from `start` on, up to the next convolutions and with them: their types by name."""
    seen: dict[str, str] = {}
    ahead = list(start)
    while ahead:
        operation = ahead.pop()
        name, kind = operation.get_friendly_name(), operation.get_type_name()
        if name not in seen:
            seen[name] = kind
            if kind not in _ARITHMETIC:
                ahead.extend(neighbours(operation))
    return seen


def _readers(operation: Any) -> list[Any]:
    return [target.get_node() for output in operation.outputs() for target in output.get_target_inputs()]


def _sources(operation: Any) -> list[Any]:
    return [operation.input_value(position).get_node() for position in range(operation.get_input_size())]
