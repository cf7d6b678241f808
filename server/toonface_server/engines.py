"""TensorRT engines run with the TensorRT version and on the GPU that built them: checked before the server starts."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from toonface_contract.errors import ServerError

# Sonames of the runtimes that may be installed, the newest major version first.
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")


class EngineRecord(BaseModel):
    """What the exporter's manifest says of an engine.

    Attributes:
        tensorrt: version that built it, such as `10.13.3.9`.
        gpu: name of the GPU that it was built on.
        compute_capability: of that GPU, such as `8.9`.
        version_compatible: whether later versions of the same major version load it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    tensorrt: str
    gpu: str
    compute_capability: str
    version_compatible: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run engines with.

    Attributes:
        tensorrt: major, minor and patch version; None if there is no TensorRT.
        gpus: name and compute capability of each GPU.
    """

    tensorrt: tuple[int, int, int] | None
    gpus: tuple[tuple[str, str], ...]


def check_engines(engines: Mapping[str, EngineRecord | None], machine: Machine, repository: str) -> None:
    """Refuse engines that are not there yet, or were built for another TensorRT or another GPU.

    Args:
        engines: by model; None for one that has not been built.
        machine: this one.
        repository: its folder, for the message.

    Raises:
        ServerError: naming the model, what its engine is for, and what is here.
    """
    remedy = f"build it here: toonface export engine {repository}"
    for model, engine in engines.items():
        if engine is None:
            raise ServerError(f"the engine of model {model} has not been built yet; {remedy}")
        if machine.tensorrt is None:
            raise ServerError(
                f"model {model} is a TensorRT engine, and there is no TensorRT here ({' or '.join(_LIBRARIES)}); serve "
                "it in NVIDIA's container"
            )
        if not _loads(engine, machine.tensorrt):
            here = ".".join(map(str, machine.tensorrt))
            raise ServerError(
                f"the engine of model {model} was built with TensorRT {engine.tensorrt}, and {here} is here; {remedy}"
            )
        built_for = (engine.gpu, engine.compute_capability)
        if not machine.gpus or any(gpu != built_for for gpu in machine.gpus):
            here = ", ".join(f"{name} ({capability})" for name, capability in machine.gpus) or "no GPU"
            raise ServerError(
                f"the engine of model {model} was built for {engine.gpu} ({engine.compute_capability}), and here is "
                f"{here}; {remedy}"
            )


def this_machine() -> Machine:
    """TensorRT and GPUs of this machine."""
    return Machine(_tensorrt_version(_LIBRARIES), _gpus())


def _loads(engine: EngineRecord, here: tuple[int, int, int]) -> bool:
    built = tuple(int(part) for part in engine.tensorrt.split(".")[:3])
    return built == here or (engine.version_compatible and built[0] == here[0] and built <= here)


def _tensorrt_version(libraries: Sequence[str]) -> tuple[int, int, int] | None:
    for name in libraries:
        try:
            number = ctypes.CDLL(name).getInferLibVersion()
        except OSError:
            continue
        return number // 10_000, number // 100 % 100, number % 100
    return None


def _gpus() -> tuple[tuple[str, str], ...]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return tuple(
            (pynvml.nvmlDeviceGetName(handle), "{}.{}".format(*pynvml.nvmlDeviceGetCudaComputeCapability(handle)))
            for handle in handles
        )
    finally:
        pynvml.nvmlShutdown()
