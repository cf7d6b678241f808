"""Archives, honest and hostile."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from toonface_contract.errors import FetchError
from toonface_export.fetch_archive import unpack


def _member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def _archive(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder to unpack into, with room for an escape beside it."""
    folder = tmp_path / "deep" / "inside"
    folder.mkdir(parents=True)
    return folder


def _assert_nothing_escaped(inside: Path, archive: Path) -> None:
    everything = {path for path in archive.parent.rglob("*") if inside not in path.parents}
    assert everything == {archive, inside, inside.parent}


def test_one_folder_of_files_is_found(tmp_path: Path, inside: Path) -> None:
    folder = _member("thing/", type=tarfile.DIRTYPE)
    archive = _archive(tmp_path / "a.tar", [folder, _member("thing/a/b.txt", b"b"), _member("thing/c", b"")])
    top = unpack(archive, inside)
    assert top == inside / "thing"
    assert (top / "a" / "b.txt").read_bytes() == b"b"
    assert (top / "c").read_bytes() == b""


def test_what_macs_put_beside_the_files_is_left_out(tmp_path: Path, inside: Path) -> None:
    members = [_member("._thing", b"x"), _member("thing/._a", b"x"), _member("thing/a", b"a")]
    top = unpack(_archive(tmp_path / "a.tar", members), inside)
    assert top == inside / "thing"
    assert [path.name for path in top.iterdir()] == ["a"]


@pytest.mark.parametrize("names", [("a", "b/c"), ("a",), ("./a", "./b")])
def test_files_in_no_folder_stay_together(tmp_path: Path, inside: Path, names: tuple[str, ...]) -> None:
    archive = _archive(tmp_path / "a.tar", [_member(name, b"x") for name in names])
    assert unpack(archive, inside) == inside
    assert all((inside / name).read_bytes() == b"x" for name in names)


def test_nothing_runs_as_somebody_else(tmp_path: Path, inside: Path) -> None:
    top = unpack(_archive(tmp_path / "a.tar", [_member("t/run", b"#!/bin/sh", mode=0o6777, uid=12, gid=12)]), inside)
    found = (top / "run").stat()
    assert found.st_mode & 0o7022 == 0
    assert found.st_uid == os.getuid()


@pytest.mark.parametrize("name", ["../escaped", "thing/../../escaped", "/toonface-escaped", "..", "a/.."])
def test_a_name_that_leads_out(tmp_path: Path, inside: Path, name: str) -> None:
    archive = _archive(tmp_path / "a.tar", [_member("thing/a", b"a"), _member(name, b"evil")])
    with pytest.raises(
        FetchError, match=r"a.tar is not unpacked: it holds '.*', which leads out of its folder"
    ) as error:
        unpack(archive, inside)
    assert error.value.code == "archive_unsafe"
    _assert_nothing_escaped(inside, archive)
    assert not Path("/toonface-escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "thing/a", "a"])
def test_a_link_of_either_kind_wherever_it_leads(tmp_path: Path, inside: Path, kind: bytes, target: str) -> None:
    link = _member("thing/link", type=kind, linkname=target)
    archive = _archive(tmp_path / "a.tar", [_member("thing/a", b"a"), link, _member("thing/link/b", b"evil")])
    with pytest.raises(FetchError, match="holds 'thing/link', which is neither a plain file nor a folder"):
        unpack(archive, inside)
    _assert_nothing_escaped(inside, archive)
    assert not (inside / "thing" / "link").is_symlink()


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_devices_and_pipes(tmp_path: Path, inside: Path, kind: bytes) -> None:
    archive = _archive(tmp_path / "a.tar", [_member("thing/device", type=kind, devmajor=1, devminor=3)])
    with pytest.raises(FetchError, match="neither a plain file nor a folder"):
        unpack(archive, inside)
    assert list(inside.rglob("*")) == []


def test_a_sparse_file_that_claims_a_terabyte(tmp_path: Path, inside: Path) -> None:
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40)}
    info, content = _member("thing/bomb", b"1\n0\n1\n".ljust(512, b"\0") + b"x")
    info.pax_headers = {**headers, "GNU.sparse.name": "thing/bomb"}
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(FetchError, match="thing/bomb"):
        unpack(archive, inside)
    assert list(inside.rglob("*")) == []


def test_too_many_members(tmp_path: Path, inside: Path) -> None:
    archive = _archive(tmp_path / "a.tar", [_member(f"thing/{number}") for number in range(11)])
    with pytest.raises(FetchError, match="holds more than 10 members or 100 bytes"):
        unpack(archive, inside, max_members=10, max_bytes=100)


def test_too_many_bytes(tmp_path: Path, inside: Path) -> None:
    archive = _archive(tmp_path / "a.tar", [_member("thing/a", bytes(60)), _member("thing/b", bytes(60))])
    with pytest.raises(FetchError, match="holds more than 10 members or 100 bytes"):
        unpack(archive, inside, max_members=10, max_bytes=100)
    assert not (inside / "thing" / "b").exists()


def test_a_compressed_archive_which_may_be_a_bomb(tmp_path: Path, inside: Path) -> None:
    archive = _archive(tmp_path / "a.tar", [_member("thing/a", bytes(10_000_000))])
    archive.write_bytes(gzip.compress(archive.read_bytes()))
    with pytest.raises(FetchError, match=r"a.tar is no whole, plain tar archive"):
        unpack(archive, inside)
    assert list(inside.rglob("*")) == []


@pytest.mark.parametrize("keep", [0, 100, 600, 1024, 1500, 2048])
def test_an_archive_that_was_cut(tmp_path: Path, inside: Path, keep: int) -> None:
    archive = _archive(tmp_path / "a.tar", [_member("thing/a", b"a" * 500), _member("thing/b", b"b" * 500)])
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(FetchError, match=r"a.tar is (no whole, plain tar archive|empty)"):
        unpack(archive, inside)


def test_an_archive_damaged_between_two_members(tmp_path: Path, inside: Path) -> None:
    archive = _archive(tmp_path / "a.tar", [_member("thing/a", b"a" * 500), _member("thing/b", b"b" * 500)])
    content = bytearray(archive.read_bytes())
    content[1024:1100] = b"?" * 76
    archive.write_bytes(content)
    with pytest.raises(FetchError, match="ends without its end mark"):
        unpack(archive, inside)


@pytest.mark.parametrize("content", [b"<html>not found</html>" * 100, bytes(10_240)])
def test_what_is_no_archive(tmp_path: Path, inside: Path, content: bytes) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(content)
    with pytest.raises(FetchError, match=r"a.tar is (no whole, plain tar archive|empty)"):
        unpack(archive, inside)


def test_a_name_that_no_file_can_have(tmp_path: Path, inside: Path) -> None:
    archive = tmp_path / "a.tar"
    info, content = _member("thing/a", b"a")
    info.pax_headers = {"path": "thing/a\0b"}
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(FetchError, match=r"no whole, plain tar archive"):
        unpack(archive, inside)
