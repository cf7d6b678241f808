"""How many CPUs there are to use, and what they are good at."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """How many CPUs this process may use: its affinity, and its container's quota rounded up."""
    return min(len(os.sched_getaffinity(0)), quota_cpus(CONTROL_GROUPS) or sys.maxsize)


def quota_cpus(root: Path) -> int | None:
    """The CPU quota of a container, in CPUs, rounded up; None without one.

    Args:
        root: where the control groups are mounted, of version 2 (`cpu.max`) or 1 (`cpu/cpu.cfs_quota_us`).
    """
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except OSError:
        return None
    # Without a limit the quota is "max" in version 2 and -1 in version 1.
    return math.ceil(int(quota) / int(period)) if quota.isdecimal() else None


def computed_precision(asked: str) -> str:
    """The precision that was asked for; for `auto` the faster on this processor: `bf16` or `f32`."""
    if asked != "auto":
        return asked
    return "bf16" if bf16_pays(Path("/proc/cpuinfo").read_text()) else "f32"


def bf16_pays(cpuinfo: str) -> bool:
    """Whether bf16 is faster than f32 on this processor: with AMX, and with AVX512-BF16 on AMD.

    On an Intel processor with AVX512-BF16 and no AMX, both networks of the demo and a ResNet50 took 1.4 to 1.7 times as
    long in bf16; on AMD they took half as long.

    Args:
        cpuinfo: text of /proc/cpuinfo.
    """
    words = set(cpuinfo.split())
    return "amx_bf16" in words or ("avx512_bf16" in words and "AuthenticAMD" in words)
