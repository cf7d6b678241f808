"""Which GPU is here, asked of NVIDIA's driver."""

from __future__ import annotations

from dataclasses import dataclass


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
    """The first GPU that NVIDIA's driver names; None if there is no driver or no GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        if pynvml.nvmlDeviceGetCount() == 0:
            return None
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return Gpu(pynvml.nvmlDeviceGetName(handle), f"{major}.{minor}")
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
