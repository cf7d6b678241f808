"""An environment of PaddleX's own: its packages contradict toonface's, and each is measured with its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from toonface_contract.errors import ConfigError

_REQUIREMENTS = "paddlex_requirements.txt"
_MARK = "installed"

VERSIONS = ("paddlex", "paddlepaddle", "numpy", "opencv-contrib-python", "faiss-cpu")


def paddlex_python(cache: Path, tell: Callable[[str], None]) -> Path:
    """The interpreter of PaddleX's virtual environment, made first where it is not there yet.

    Args:
        cache: folder for it, kept from run to run; an environment of other versions is made anew.
        tell: told when it is made, which takes a minute or two and 2 GB.

    Raises:
        ConfigError: pip failed; the message ends with what it said.
    """
    wanted = hashlib.sha256(requirements().encode()).hexdigest()
    folder = (cache / "paddlex").absolute()
    python, mark = folder / "bin" / "python", folder / _MARK
    if mark.is_file() and mark.read_text() == wanted:
        return python
    tell(f"setting up PaddleX in {folder}")
    venv.create(folder, clear=True, with_pip=True)
    listed = folder / _REQUIREMENTS
    listed.write_text(requirements())
    # Everything is in the list, so nothing is to be resolved.
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "-r", listed], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigError(
            f"PaddleX cannot be set up in {folder} by {sys.executable}: {' / '.join(done.stderr.splitlines()[-3:])}"
        )
    mark.write_text(wanted)
    return python


def requirements() -> str:
    """The pinned packages, in pip's format."""
    return (files("toonface_benchmarks") / _REQUIREMENTS).read_text(encoding="utf-8")


def pinned() -> dict[str, str]:
    """The versions of the packages that decide what is measured."""
    pairs = (line.split("==") for line in requirements().splitlines() if "==" in line and not line.startswith("#"))
    versions = {name: version for name, version in pairs}
    return {name: versions[name] for name in VERSIONS}
