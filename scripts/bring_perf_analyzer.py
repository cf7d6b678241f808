"""Brings NVIDIA's perf_analyzer into a folder of its own.

Called by `make perf-analyzer`:

    python3.11 scripts/bring_perf_analyzer.py build/perf_analyzer

The binary is in the wheel of tritonclient 2.51.0; later ones ask for a package that needs glibc 2.38, which Debian 12
and Ubuntu 22.04 do not have. It is linked against libcudart, also where no GPU is, and libb64. Nothing is installed:
the files are taken out of the packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from set_up import SetUpError, debian_file, loadable

# Requirement, and the end of the name of the file that is wanted of its wheel.
WHEELS = (
    ("tritonclient==2.51.0", "bin/perf_analyzer"),
    ("nvidia-cuda-runtime-cu12==12.9.79", "libcudart.so.12"),
)
LIBB64 = ("libb64.so.0d", "libb64-0d")


def main() -> int:
    """Fill the folder that the command line names; returns the exit code: 0 ok, 1 failure."""
    if len(sys.argv) != 2:
        print("usage: bring_perf_analyzer.py FOLDER", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1])
    try:
        with tempfile.TemporaryDirectory() as scratch:
            bring(folder, Path(scratch))
    except (SetUpError, subprocess.CalledProcessError) as error:
        print(f"perf_analyzer could not be brought: {error}", file=sys.stderr)
        return 1
    print(f"{folder}/perf_analyzer")
    return 0


def bring(folder: Path, scratch: Path) -> None:
    """Put perf_analyzer, and the libraries beside it, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for requirement, wanted in WHEELS:
        wheels = scratch / wanted.replace("/", "-")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--no-deps", "--dest", wheels, requirement], check=True)  # noqa: S603
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(wanted))
            (folder / Path(wanted).name).write_bytes(archive.read(member))
    (folder / "perf_analyzer").chmod(0o755)
    soname, package = LIBB64
    if not loadable(soname):
        shutil.copyfile(debian_file(package, soname, scratch), folder / soname)


if __name__ == "__main__":
    sys.exit(main())
