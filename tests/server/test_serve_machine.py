"""What the machine offers: CPUs, and a tritonserver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toonface_contract.errors import ServerError
from toonface_server.binary import (
    BINARY_ENV,
    Installation,
    backend_directory,
    check_stub,
    find_installation,
    missing_backends,
    server_environment,
)
from toonface_server.cpus import bf16_pays, quota_cpus, usable_cpus


@pytest.mark.parametrize(
    ("text", "cpus"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("400000 100000\n", 4), ("max 100000\n", None)]
)
def test_quota_of_version_2(tmp_path: Path, text: str, cpus: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert quota_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("250000\n", 3), ("-1\n", None)])
def test_quota_of_version_1(tmp_path: Path, quota: str, cpus: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert quota_cpus(tmp_path) == cpus


def test_no_control_groups_are_no_quota(tmp_path: Path) -> None:
    assert quota_cpus(tmp_path) is None


def test_affinity_limits_the_cpus() -> None:
    program = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); import toonface_server.cpus as c; "
    printed = subprocess.run(
        [sys.executable, "-c", program + "print(c.usable_cpus())"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "1"
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("vendor", "flags", "pays"),
    [
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16", True),
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx2", False),
    ],
)
def test_bf16_is_taken_where_it_was_measured_to_be_faster(vendor: str, flags: str, pays: bool) -> None:
    assert bf16_pays(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags} sse\n") is pays


def _installed(folder: Path, *backends: str) -> Path:
    """The layout of NVIDIA's container."""
    for backend in backends:
        (folder / "backends" / backend).mkdir(parents=True)
    binary = folder / "bin" / "tritonserver"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    return binary


def test_the_containers_server_keeps_its_native_backends(tmp_path: Path) -> None:
    binary = _installed(tmp_path, "python", "onnxruntime", "openvino", "tensorrt")
    installation = find_installation({}, container=tmp_path)
    assert installation == Installation(binary, tmp_path / "backends")
    assert missing_backends(installation) == []
    assert backend_directory(installation, tmp_path / "unused") == tmp_path / "backends"
    assert not (tmp_path / "unused").exists()
    check_stub(installation)


def test_a_server_without_openvino_gets_the_stand_in(tmp_path: Path) -> None:
    _installed(tmp_path, "python", "onnxruntime")
    installation = find_installation({}, container=tmp_path)
    folder = backend_directory(installation, tmp_path / "merged")
    assert (folder / "onnxruntime").resolve() == tmp_path / "backends" / "onnxruntime"
    assert (folder / "openvino" / "model.py").is_file()
    assert (folder / "python").is_dir()


def test_a_named_binary_comes_before_all(tmp_path: Path) -> None:
    named = _installed(tmp_path / "named", "python")
    _installed(tmp_path / "container", "python")
    installation = find_installation({BINARY_ENV: str(named)}, container=tmp_path / "container")
    assert installation.executable == named


def test_a_named_binary_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=rf"\${BINARY_ENV}, is not an executable file"):
        find_installation({BINARY_ENV: str(tmp_path / "tritonserver")})


def test_a_server_without_the_python_backend_is_refused(tmp_path: Path) -> None:
    binary = _installed(tmp_path, "onnxruntime")
    with pytest.raises(ServerError, match="has no Python backend"):
        find_installation({BINARY_ENV: str(binary)})


def test_the_embedded_server_gets_the_stub_of_this_python(tmp_path: Path) -> None:
    installation = find_installation({}, container=tmp_path)
    folder = backend_directory(installation, tmp_path / "backends")
    assert sorted(path.name for path in folder.iterdir()) == ["onnxruntime", "openvino", "python"]
    stub = folder / "python" / "triton_python_backend_stub"
    assert os.access(stub, os.X_OK)
    assert stub.read_bytes() == Path(str(installation.stub)).read_bytes()
    check_stub(installation)


def test_the_stages_get_this_python_and_its_libraries(tmp_path: Path) -> None:
    installation = find_installation({}, container=tmp_path)
    environment = server_environment(installation, {"PATH": "/bin", "LD_LIBRARY_PATH": "/theirs", "HOME": "/h"})
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert environment["PATH"].endswith(":/bin")
    assert environment["LD_LIBRARY_PATH"].endswith("nvidia_pytriton.libs:/theirs")
    assert environment["HOME"] == "/h"


def test_a_stub_without_its_library_says_how_to_get_it(tmp_path: Path) -> None:
    """A real stub, whose name of Python's library is overwritten by one that nobody has."""
    installation = find_installation({}, container=tmp_path)
    name = f"libpython3.{sys.version_info.minor}.so.1.0".encode()
    content = Path(str(installation.stub)).read_bytes()
    assert name in content
    broken = tmp_path / "stub"
    broken.write_bytes(content.replace(name, b"libpython9.99.so.1.0"[: len(name)]))
    broken.chmod(0o755)
    missing = Installation(installation.executable, installation.backends, broken, installation.libraries)
    with pytest.raises(ServerError, match=r"cannot load libpython9.*apt-get install libpython3"):
        check_stub(missing)
