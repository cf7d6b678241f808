"""Where is tritonserver, which backends does it bring, and what environment do its Python stages need."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toonface_contract.errors import ServerError

BINARY_ENV = "TOONFACE_TRITONSERVER"
CONTAINER = Path("/opt/tritonserver")

# Backends that this package can stand in for. Each is named as the Python package that does its work.
STAND_INS = ("onnxruntime", "openvino")

_OWN_BACKENDS = Path(__file__).parent / "backends"
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class Installation:
    """One tritonserver on this machine.

    Attributes:
        executable: the binary.
        backends: the folder with the backends that it brings.
        stub: the Python backend's stub for this Python; None when the one in `backends/python` is the right one.
        libraries: folders that the binary and the stub need on LD_LIBRARY_PATH.
    """

    executable: Path
    backends: Path
    stub: Path | None = None
    libraries: tuple[Path, ...] = ()


def find_installation(environment: Mapping[str, str] = os.environ, container: Path = CONTAINER) -> Installation:
    """The tritonserver to run: the one that $TOONFACE_TRITONSERVER names, NVIDIA's container's, or nvidia-pytriton's.

    Args:
        environment: where TOONFACE_TRITONSERVER is looked up.
        container: the folder in which NVIDIA's container keeps its server.

    Raises:
        ServerError: there is none, or it cannot run with this Python or on this machine.
    """
    named = environment.get(BINARY_ENV)
    if named:
        return _installed(Path(named), f"${BINARY_ENV}")
    if (container / "bin" / "tritonserver").exists():
        return _installed(container / "bin" / "tritonserver", "NVIDIA's container")
    return _embedded()


def _installed(executable: Path, origin: str) -> Installation:
    if not executable.is_file() or not os.access(executable, os.X_OK):
        raise ServerError(f"{executable}, from {origin}, is not an executable file; name the tritonserver binary")
    backends = executable.absolute().parent.parent / "backends"
    if not (backends / "python").is_dir():
        raise ServerError(f"{executable}, from {origin}, has no Python backend: there is no {backends / 'python'}")
    return Installation(executable.absolute(), backends)


def _embedded() -> Installation:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ServerError(
            f"this machine is {sys.platform} {platform.machine()}; the tritonserver of nvidia-pytriton runs on linux "
            f"x86_64 only. Elsewhere use NVIDIA's container, or name a binary in ${BINARY_ENV}"
        )
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            "no tritonserver found: the package nvidia-pytriton is not installed for "
            f"{sys.executable}. Run: pip install 'toonface[server]', or name a binary in ${BINARY_ENV}"
        )
    package = Path(spec.submodule_search_locations[0])
    root = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        carried = sorted(
            (folder.name for folder in (root / "python_backend_stubs").glob("3.*")), key=lambda name: int(name[2:])
        )
        raise ServerError(
            f"nvidia-pytriton has no stub for Python {version}, which is running; "
            f"it carries those for {', '.join(carried) or 'no version'}: use one of these"
        )
    numpy_version = importlib.metadata.version("numpy")
    if int(numpy_version.split(".")[0]) > 1:
        raise ServerError(
            f"numpy {numpy_version} is installed; the Python stub of nvidia-pytriton was built against numpy 1 and "
            "hands out wrong arrays under numpy 2. Run: pip install 'numpy<2'"
        )
    # The environment's own folder is where scripts/set_up.py puts libpython on a machine without one.
    libpython = (Path(str(sysconfig.get_config_var("LIBDIR"))), Path(sys.prefix) / "lib")
    libraries = (*libpython, package.parent / "nvidia_pytriton.libs")
    return Installation(root / "bin" / "tritonserver", root / "backends", stub, libraries)


def server_environment(installation: Installation, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which the binary and its Python stages find their libraries and this Python's packages."""
    libraries = [str(folder) for folder in installation.libraries]
    if environment.get("LD_LIBRARY_PATH"):
        libraries.append(environment["LD_LIBRARY_PATH"])
    return {
        **environment,
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        # The stub takes its packages from the first python3 on the PATH: the one that is running now.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]),
    }


def check_stub(installation: Installation) -> None:
    """Refuse an embedded stub whose shared libraries are not there; without arguments it otherwise ends at once.

    Raises:
        ServerError: naming the library that is missing.
    """
    if installation.stub is None:
        return
    ended = subprocess.run(  # noqa: S603  (the stub found above)
        [installation.stub],
        env=server_environment(installation),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "error while loading shared libraries" not in ended.stderr:
        return
    library = ended.stderr.split("libraries:")[1].split(":")[0].strip()
    hint = ""
    if library.startswith("libpython"):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        hint = (
            f": Python's shared library is neither in {installation.libraries[0]} nor where the system looks. "
            f"On Debian and Ubuntu: apt-get install libpython{version}; "
            f"with pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {version}"
        )
    raise ServerError(f"the Python stub {installation.stub} cannot load {library}{hint}")


def missing_backends(installation: Installation) -> list[str]:
    """The backends of an exported repository that this installation does not bring itself."""
    return [name for name in STAND_INS if not (installation.backends / name).is_dir()]


def backend_directory(installation: Installation, folder: Path) -> Path:
    """A folder with every backend that an exported repository may name, for `--backend-directory`.

    A server that brings its own onnxruntime and openvino keeps its own folder. Otherwise `folder` is made, with the
    backends that there are, the right stub, and this package's Python-based backends for those that are missing.
    """
    missing = missing_backends(installation)
    if not missing and installation.stub is None:
        return installation.backends
    folder.mkdir()
    for name in missing:
        (folder / name).symlink_to(_OWN_BACKENDS / name)
    for backend in installation.backends.iterdir():
        if backend.name != "python" or installation.stub is None:
            (folder / backend.name).symlink_to(backend)
    if installation.stub is not None:
        # Copies: Triton refuses a backend's library that is a link, and wants to make the stub executable.
        shutil.copytree(
            installation.backends / "python", folder / "python", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copyfile(installation.stub, folder / "python" / _STUB)
        (folder / "python" / _STUB).chmod(0o755)
    return folder
