"""Unpack an archive from elsewhere: it writes into its own folder or not at all."""

from __future__ import annotations

import tarfile
from pathlib import Path

from toonface_contract.errors import FetchError

# Far above what PaddleX's archives hold, and far below what would hurt.
MAX_MEMBERS = 500_000
MAX_UNPACKED_BYTES = 16 * 2**30


def unpack(archive: Path, folder: Path, *, max_members: int = MAX_MEMBERS, max_bytes: int = MAX_UNPACKED_BYTES) -> Path:
    """Unpack a plain tar archive into `folder`, which is empty.

    Files and folders alone are taken: archives of models and pictures have no use for links, and without any, no name
    can lead out of the folder. Python's own filter for data looks at each member too, and sets its permissions.
    Compressed and sparse archives, which can be small and become large, are refused.

    Returns:
        The one folder that all members are in, or `folder` if they are not in one.

    Raises:
        FetchError: the archive is damaged, holds something else than files and folders, a name that leads out, or more
            than the limits. What was unpacked by then stays in `folder`.
    """
    members = total = 0
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                members, total = members + 1, total + member.size
                _check(member, archive)
                if members > max_members or total > max_bytes:
                    raise _unsafe(archive, f"holds more than {max_members} members or {max_bytes} bytes")
                if not _is_mac_shadow(member):
                    tar.extract(member, folder, filter="data")
            _check_end(tar, archive)
    except tarfile.FilterError as error:
        raise _unsafe(archive, str(error)) from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FetchError(f"{archive.name} is no whole, plain tar archive: {error}") from error
    top = list(folder.iterdir())
    if not top:
        raise FetchError(f"{archive.name} is empty")
    return top[0] if len(top) == 1 and top[0].is_dir() else folder


def _check(member: tarfile.TarInfo, archive: Path) -> None:
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise _unsafe(archive, f"holds {member.name!r}, which is neither a plain file nor a folder")
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise _unsafe(archive, f"holds {member.name!r}, which leads out of its folder")


def _check_end(tar: tarfile.TarFile, archive: Path) -> None:
    """Zeros end an archive; tarfile alone would take one that was cut, or damaged, between two members for whole."""
    with archive.open("rb") as file:
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise FetchError(f"{archive.name} is no whole, plain tar archive: it ends without its end mark")


def _is_mac_shadow(member: tarfile.TarInfo) -> bool:
    """Whether it is a file's attributes, which macOS packs as a second file beside it, `._name`."""
    return member.name.split("/")[-1].startswith("._")


def _unsafe(archive: Path, text: str) -> FetchError:
    return FetchError(f"{archive.name} is not unpacked: it {text}", code="archive_unsafe")
