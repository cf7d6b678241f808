"""The lock file: what was fetched first, and what is held to from then on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toonface_contract.errors import FetchError
from toonface_export.paddle_model import sha256_of

LOCK_FILE = "toonface-fetch.lock"

_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Locked(_Strict):
    """What one item was when it was first fetched.

    Attributes:
        size: of the file that came, in bytes.
        sha256: of the file that came.
        content: of what it became on the disk; see `content_digest`.
    """

    size: Annotated[int, Field(ge=0)]
    sha256: _Sha256
    content: _Sha256


class Lock(_Strict):
    """The lock file's content.

    Attributes:
        format: of the file.
        items: by path under the store's address, which is the same at every mirror.
    """

    format: Literal[1] = 1
    items: dict[str, Locked] = {}

    def with_item(self, path: str, locked: Locked) -> Lock:
        """The same lock with one item more, or renewed."""
        return Lock(items=dict(sorted({**self.items, path: locked}.items())))


def read_lock(path: Path) -> Lock:
    """Read a lock file; one that is not there is empty.

    Raises:
        FetchError: it is not a lock file, or cannot be read.
    """
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise FetchError(f"lock file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise FetchError(f"{path} is no lock file of `toonface fetch`: {error.errors()[0]['msg']}") from error


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(lock.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def content_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of all files in a folder."""
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for name in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()):
        # The length before each name keeps two folders apart whatever their names hold.
        encoded = os.fsencode(name)
        digest.update(f"{len(encoded)} ".encode() + encoded + bytes.fromhex(sha256_of(path / name)))
    return digest.hexdigest()
