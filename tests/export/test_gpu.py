"""Which of several GPUs an engine is built for: TensorRT takes CUDA's first, and NVML counts otherwise."""

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from toonface_export.gpu import Gpu, find_gpu

# By their places on the bus, in NVML's order.
_GPUS = {"0000:01:00.0": ("NVIDIA T4", (7, 5)), "0000:41:00.0": ("NVIDIA L4", (8, 9))}


class _Cuda:
    """The functions of libcuda that are asked, with devices in CUDA's order."""

    def __init__(self, places: list[str]) -> None:
        self._places = places

    def cuInit(self, flags: int) -> int:
        return 0 if self._places else 100  # CUDA_ERROR_NO_DEVICE

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = 1000 + number
        return 0

    def cuDeviceGetPCIBusId(self, place: Any, length: int, device: ctypes.c_int) -> int:
        place.value = self._places[device.value - 1000].encode()
        return 0


class _NvmlError(Exception):
    pass


def _by_place(place: bytes) -> str:
    if place.decode() not in _GPUS:
        raise _NvmlError("Not Found")
    return place.decode()


@pytest.fixture(autouse=True)
def nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = SimpleNamespace(
        NVMLError=_NvmlError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(_GPUS),
        nvmlDeviceGetHandleByIndex=lambda number: list(_GPUS)[number],
        nvmlDeviceGetHandleByPciBusId=_by_place,
        nvmlDeviceGetName=lambda place: _GPUS[place][0],
        nvmlDeviceGetCudaComputeCapability=lambda place: _GPUS[place][1],
    )
    monkeypatch.setitem(sys.modules, "pynvml", functions)


@pytest.mark.parametrize(
    ("places", "found"),
    [
        (["0000:41:00.0", "0000:01:00.0"], Gpu("NVIDIA L4", "8.9")),  # CUDA's own order: the fastest first
        (["0000:01:00.0"], Gpu("NVIDIA T4", "7.5")),  # CUDA_VISIBLE_DEVICES
        (["0000:99:00.0"], None),
        ([], None),  # CUDA_VISIBLE_DEVICES is empty
    ],
)
def test_it_is_the_first_of_cuda(monkeypatch: pytest.MonkeyPatch, places: list[str], found: Gpu | None) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Cuda(places))
    assert find_gpu() == found


def test_without_cuda_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert find_gpu() is None
