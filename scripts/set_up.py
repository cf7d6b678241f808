"""Makes the checkout's virtual environment, with nothing but Python 3.11: no root, nothing installed system-wide.

Standard library only, since it runs before anything is installed. Called by `make venv`:

    python3.11 scripts/set_up.py --venv .venv --constraints constraints.txt

A bare Debian or Ubuntu lacks things that the installation needs. Each is taken from the distribution's own package,
downloaded by apt with private directories and unpacked inside the virtual environment:

- pip, where python3.11-venv is not installed (python3-pip-whl, and python3-distutils on Ubuntu 22.04);
- libpython3.11.so.1.0, which Triton's python stub is linked against (libpython3.11);
- libgomp.so.1, which paddlepaddle is linked against (libgomp1);
- libfribidi.so.0, without which Pillow cannot lay out Arabic, Hebrew or Indic names (libfribidi0).
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "server,postgres,export,gallery,fonts,training,dev"
# Their metadata pins versions that are long gone; what they need of the rest stands in the extra `training`.
WITHOUT_DEPENDENCIES = ("paddledet==2.6.0", "paddleclas==2.6.0")
LIBPYTHON = ("libpython3.11.so.1.0", "libpython3.11")
# Nobody sets a library path for these, so every interpreter of the environment loads them as it starts.
PRELOADED = (("libgomp.so.1", "libgomp1"), ("libfribidi.so.0", "libfribidi0"))


class SetUpError(Exception):
    """The environment cannot be made; the message says what to do."""


def main() -> int:
    """Make the environment; returns the exit code: 0 ok, 1 failure."""
    parser = argparse.ArgumentParser(description="Make the checkout's virtual environment.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the virtual environment")
    parser.add_argument("--constraints", type=Path, help="file of pinned versions; without it the newest are taken")
    arguments = parser.parse_args()
    try:
        set_up(arguments.venv.resolve(), arguments.constraints)
    except (SetUpError, subprocess.CalledProcessError) as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(folder: Path, constraints: Path | None) -> None:
    """Create the virtual environment `folder`, or complete the one that is there, and install the project into it."""
    if sys.version_info[:2] != (3, 11):
        raise SetUpError(
            f"{sys.executable} is Python {sys.version.split()[0]}; the pinned dependencies are for 3.11. "
            "Name one with `make PYTHON=/path/to/python3.11`."
        )
    python = folder / "bin" / "python"
    if not _runs(python, "import sys; sys.exit(sys.version_info[:2] != (3, 11))"):
        print(f"creating {folder}", flush=True)
        venv.create(folder, clear=folder.exists(), symlinks=True, with_pip=False)
    with tempfile.TemporaryDirectory() as scratch:
        if not _runs(python, "import pip"):
            _bring_pip(python, Path(scratch))
        _bring_libraries(folder, Path(scratch))
    _install(python, constraints)


def _install(python: Path, constraints: Path | None) -> None:
    """Install the build tool, then the project itself, editable, with every extra."""
    pip: list[str | Path] = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    if constraints is not None:
        pip += ["--constraint", constraints]
    print("installing the dependencies: some 600 MB, a few minutes the first time", flush=True)
    _run([*pip, "--quiet", "--upgrade", "pip", "setuptools"])
    # Without isolation the build tool is the pinned one just installed, not the newest of the day.
    _run([*pip, "--no-build-isolation", "--editable", f"{ROOT}[{EXTRAS}]"])
    _run([*pip, "--quiet", "--no-deps", *WITHOUT_DEPENDENCIES])


def _bring_pip(python: Path, scratch: Path) -> None:
    """Install pip by ensurepip, or from the distribution's wheel where ensurepip has been split off."""
    if importlib.util.find_spec("ensurepip"):
        _run([python, "-m", "ensurepip", "--default-pip"])
        return
    # A wheel is a zip file that Python imports from, so the pip in it can install pip.
    path = [debian_file("python3-pip-whl", "pip-*.whl", scratch, remedy="python3.11-venv")]
    if not _runs(python, "import distutils.cmd"):
        # Ubuntu 22.04's pip needs distutils, most of which its python3.11 has split off, but for a part.
        command = debian_file("python3-distutils", "python3.11/distutils/cmd.py", scratch, remedy="python3.11-venv")
        shutil.copytree(Path(sysconfig.get_path("stdlib"), "distutils"), command.parent, dirs_exist_ok=True)
        path.append(command.parent.parent)
    _run([python, "-m", "pip", "install", "--quiet", "pip"], PYTHONPATH=os.pathsep.join(map(str, path)))


def _bring_libraries(folder: Path, scratch: Path) -> None:
    """Put the shared libraries that this machine lacks into the environment's `lib` folder."""
    library_folder = folder / "lib"
    soname, package = LIBPYTHON
    if not loadable(soname) and not (Path(sysconfig.get_config_var("LIBDIR")) / soname).exists():
        # `toonface serve` puts this folder on the library path of the stages.
        _bring_library(soname, package, library_folder, scratch)
    missing = [_bring_library(*each, library_folder, scratch) for each in PRELOADED if not loadable(each[0])]
    # Python runs the lines of .pth files that begin with `import`. A library that is loaded is found by its name.
    preload = [f"import ctypes; ctypes.CDLL({str(library)!r}, ctypes.RTLD_GLOBAL)\n" for library in missing]
    if preload:
        site_packages = library_folder / "python3.11" / "site-packages"
        (site_packages / "preload-system-libraries.pth").write_text("".join(preload))


def _bring_library(soname: str, package: str, folder: Path, scratch: Path) -> Path:
    """Copy the library `soname` out of the distribution's `package` into `folder`; returns its path."""
    target = folder / soname
    if not target.exists():
        # copyfile follows the link to the file with the full version.
        shutil.copyfile(debian_file(package, soname, scratch), target)
    return target


def loadable(soname: str) -> bool:
    """Whether the dynamic loader finds `soname` by itself."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def debian_file(package: str, pattern: str, scratch: Path, remedy: str = "") -> Path:
    """The file named `pattern` in a distribution package, downloaded and unpacked under `scratch`, not installed.

    Raises:
        SetUpError: there is no apt, or the package cannot be had; the message names what to install: `remedy`, or
            the package itself.
    """
    print(f"fetching {pattern} from the distribution's package {package}", flush=True)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SetUpError(f"{pattern} is missing, and this is no Debian or Ubuntu to take it from; install it")
    unpacked = scratch / package
    unpacked.mkdir()
    # A third-party source that fails makes `update` fail as well: what counts is whether the package comes.
    log = "" if (scratch / "lists").exists() else _apt(scratch, scratch, "update")
    log += _apt(scratch, unpacked, "download", package)
    for archive in unpacked.glob("*.deb"):
        _run(["dpkg-deb", "-x", archive, unpacked])
        found = next(unpacked.rglob(pattern), None)
        if found is not None:
            return found
    raise SetUpError(
        f"{pattern} is missing, and could not be taken from the package {package}. "
        f"Run make again after: apt install {remedy or package}\n{log.strip()}"
    )


def _apt(scratch: Path, folder: Path, *command: str) -> str:
    """Run apt-get in `folder` with package lists of our own (the machine's may be missing, old, or not ours to write).

    Returns what it wrote.
    """
    for needed in ("lists/partial", "cache/archives/partial"):
        (scratch / needed).mkdir(parents=True, exist_ok=True)
    own = [f"-oDir::State::Lists={scratch}/lists", f"-oDir::Cache={scratch}/cache"]
    done = subprocess.run(["apt-get", *own, *command], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout + done.stderr


def _runs(python: Path, code: str) -> bool:
    """Whether `python` exists and runs `code` with exit code 0."""
    return python.exists() and subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0  # noqa: S603


def _run(command: Sequence[str | Path], **environment: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, **environment})  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
