"""Which processes train, and on what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from toonface_contract.errors import ConfigError

# What makes Paddle fast on a CPU. They work only if they are set before the process begins. Memory that the C library
# gives back and takes again for every tensor costs half of the time; huge pages make it cheaper still.
CPU_ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
# MKL's sums come out the same whatever the address of a tensor and whatever else the machine does: without this, a run
# that is repeated or resumed may differ in the last bit.
_REPEATABLE = {"MKL_CBWR": "AUTO,STRICT", "MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}
# MKL's fast code, which it withholds from AMD's processors unless told so.
_MKL = "MKL_DEBUG_CPU_TYPE", "5"


@dataclass(frozen=True, slots=True)
class Devices:
    """What a run's processes compute on.

    Attributes:
        kind: `cpu`, `gpu`, or `auto` until `resolve` has looked.
        numbers: one for each process.
    """

    kind: str
    numbers: tuple[int, ...] = (0,)

    def device(self, rank: int) -> str:
        """Paddle's name of the device of a process."""
        return "cpu" if self.kind == "cpu" else f"gpu:{self.numbers[rank]}"

    def launcher_names(self) -> str:
        """The GPUs as Paddle's launcher wants them: not counted among the visible ones, but as the user names these."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else None
        return ",".join(names[number] if names else str(number) for number in self.numbers)

    def environment(self) -> Mapping[str, str]:
        """Environment variables for the processes; what the user has set already stays."""
        cpus = max(1, len(os.sched_getaffinity(0)) // len(self.numbers))
        # Paddle warns of what does not concern a user: compilers, other frameworks' names, numpy's plans.
        quiet = {"GLOG_minloglevel": "2", "PYTHONWARNINGS": "ignore"}
        wanted = {**CPU_ENVIRONMENT, **_REPEATABLE, **quiet, "OMP_NUM_THREADS": str(cpus)}
        if _is_amd():
            wanted[_MKL[0]] = _MKL[1]
        return {**wanted, **os.environ}

    def resolve(self) -> Devices:
        """The same, held against what Paddle has here.

        Raises:
            ConfigError: there is no such device.
        """
        there = 0 if self.kind == "cpu" else _gpus()
        if self.kind == "auto":
            return Devices("gpu" if there else "cpu", self.numbers)
        if self.kind == "gpu" and max(self.numbers) >= there:
            has = f"sees {there} GPU(s)" if there else "is built for the CPU, or sees no GPU"
            raise ConfigError(
                f"Global.device asks for GPU {max(self.numbers)}, but Paddle {has} here; "
                "-o Global.device=cpu trains on the CPU"
            )
        return self


def parse_devices(text: str) -> Devices:
    """The devices that `Global.device` names, such as `auto`, `cpu` or `gpu:0,1`.

    Raises:
        ConfigError: one is named twice.
    """
    kind, _, listed = text.partition(":")
    numbers = tuple(int(number) for number in listed.split(",")) if listed else (0,)
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"Global.device is {text}, which names a device twice")
    return Devices(kind, numbers)


def _gpus() -> int:
    import paddle

    return int(paddle.device.cuda.device_count()) if paddle.is_compiled_with_cuda() else 0


def _is_amd() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "AuthenticAMD" in file.read(4096)
    except OSError:
        return False
