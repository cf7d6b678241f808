"""What a report says of the machine that it was made on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from toonface_server.cpus import usable_cpus

CPU_INFO = Path("/proc/cpuinfo")


def this_machine() -> str:
    """The processor's name, how many CPUs may be used, and the operating system."""
    return f"{processor(CPU_INFO)}, {usable_cpus()} CPUs, {platform.platform()}"


def processor(cpu_info: Path) -> str:
    """The model name in a file like /proc/cpuinfo; of processors that have none there, the architecture."""
    named = re.search(r"^model name\s*:\s*(\S.*)$", cpu_info.read_text(), re.MULTILINE) if cpu_info.exists() else None
    return named[1].strip() if named else platform.machine()
