"""What an engine really computes in, read back from it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from toonface_contract.errors import ExportError

# TensorRT 10 names a tensor's type in prose with its layout (`Format/Datatype`), TensorRT 11 by itself (`DataType`).
_TYPES = {
    "half": "f16",
    "fp16": "f16",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "float": "f32",
    "fp32": "f32",
    "int8": "int8",
    "uint8": "uint8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}


def load_engine(trt: Any, plan: bytes) -> Any:
    """An engine, ready to run. Needs the GPU that it is for.

    Args:
        trt: the module `tensorrt`.
        plan: the serialised engine.

    Raises:
        ExportError: TensorRT cannot load it.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    runtime.engine_host_code_allowed = True  # version-compatible engines bring code of their own
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise ExportError(f"TensorRT {trt.__version__} cannot load the engine that it has just built")
    return engine


def built_types(trt: Any, engine: Any) -> dict[str, int]:
    """How many layers of an engine answer in each type: see `layer_types`."""
    return layer_types(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def layer_types(information: str) -> dict[str, int]:
    """How many layers answer in each type, by the JSON of TensorRT's engine inspector, at the most detailed level.

    Raises:
        ExportError: it names no types, so that the precision cannot be told.
    """
    counts: Counter[str] = Counter()
    for layer in json.loads(information).get("Layers", []):
        outputs = layer.get("Outputs", []) if isinstance(layer, dict) else []
        counts.update({_type_of(output) for output in outputs if _type_of(output)})
    if not counts:
        raise ExportError("TensorRT's engine inspector names no types, so the precision that was built is not known")
    return dict(sorted(counts.items()))


def check_built(name: str, asked: str, types: dict[str, int]) -> None:
    """Refuse an engine that was to be FP16 and computes mostly in FP32.

    Raises:
        ExportError: naming the model and what was built.
    """
    if asked == "f16" and types.get("f16", 0) < types.get("f32", 0):
        built = ", ".join(f"{count} layers in {kind}" for kind, count in types.items())
        raise ExportError(f"{name}: an engine in f16 was asked for, and TensorRT built {built}; it was not written")


def _type_of(tensor: dict[str, Any]) -> str:
    text = next((str(value) for key, value in tensor.items() if key.lower().endswith("datatype")), "")
    return next((_TYPES[word] for word in text.lower().replace(".", " ").split() if word in _TYPES), "")
