"""Which GPU is here, asked of NVIDIA's driver, and the TensorRT that builds for it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from toonface_contract.errors import ExportError

INSTEAD = (
    "Write all but the engines here (add --engine-later), and run `toonface export engine` on the folder in the "
    "container that serves, on its GPU; or add --backend onnxruntime, which needs no engine"
)
"""What to do where an export was to build engines, and there is no GPU."""

# Polygraphy runs what TensorRT has built, to compare it; a build takes minutes, so both are looked for before.
_PACKAGES = ("tensorrt", "polygraphy")


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: such as `NVIDIA L4`.
        compute_capability: such as `8.9`.
    """

    name: str
    compute_capability: str


def find_gpu() -> Gpu | None:
    """The GPU that TensorRT builds for, CUDA's first; None if there is no driver or no GPU that CUDA may use."""
    import pynvml

    place = _first_of_cuda()
    if place is None:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(place)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return Gpu(pynvml.nvmlDeviceGetName(handle), f"{major}.{minor}")
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _first_of_cuda() -> bytes | None:
    """PCI bus id of CUDA's device 0: NVML has an order of its own, and does not heed CUDA_VISIBLE_DEVICES."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, place = ctypes.c_int(), ctypes.create_string_buffer(32)
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    return None if cuda.cuDeviceGetPCIBusId(place, len(place), device) else place.value


def require_gpu(instead: str) -> tuple[Any, Gpu]:
    """TensorRT's module, and the GPU that is here.

    Args:
        instead: what to do where they are missing, for the message.

    Raises:
        ExportError: the GPU is missing, or a package that engines are built or compared with.
    """
    gpu = find_gpu()
    if gpu is None:
        raise ExportError(f"there is no NVIDIA GPU here, and an engine is built on the GPU that serves it. {instead}")
    for package in _PACKAGES:
        try:
            import_module(package)
        except ImportError as error:
            raise ExportError(
                f"the Python package {package} cannot be imported ({error}); run: pip install 'toonface[engine]'. "
                f"{instead}"
            ) from error
    return import_module("tensorrt"), gpu
