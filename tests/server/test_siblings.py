"""Instances of one model know of each other, across processes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toonface_server.siblings import Siblings

_COMPUTE = """
import sys
from pathlib import Path
from toonface_server.siblings import Siblings
with Siblings(Path(sys.argv[1])).computing() as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"model")
    return path


@pytest.fixture
def sibling(file: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _COMPUTE, str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def test_an_instance_is_alone_whenever_no_other_computes(file: Path) -> None:
    one, other = Siblings(file), Siblings(file)
    for _ in range(2):
        with one.computing() as alone:
            assert alone
            with other.computing() as other_alone:
                assert not other_alone
        with other.computing() as other_alone:
            assert other_alone


def test_another_process_is_known_until_it_dies(file: Path, sibling: subprocess.Popen[str]) -> None:
    here = Siblings(file)
    with here.computing() as alone:
        assert not alone
    sibling.kill()
    sibling.wait()
    with here.computing() as alone:
        assert alone
