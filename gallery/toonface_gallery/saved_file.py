"""What a saved index's file says of itself, checked, without the index."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any, Final

from toonface_contract.admin import IndexSettings
from toonface_gallery.snapshot import GalleryKey, Snapshot

# Says what the file is, and changes with its format.
MAGIC: Final = b"toonface index 2\n"
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_CHUNK: Final = 1 << 20


class Unusable(Exception):
    """A saved index cannot be used; the message says why."""


class Damaged(Unusable):
    """It is not what was written."""


def file_of(folder: Path, gallery_id: int) -> Path:
    """The file of a gallery."""
    return folder / f"gallery-{gallery_id}.index"


def read_header(file: IO[bytes], key: GalleryKey) -> dict[str, Any]:
    """The header of a gallery's saved index, with the file then at what comes after it.

    Raises:
        Damaged: the file does not end with the digest of the rest: FAISS might crash on what is in it.
        Unusable: it is of another gallery, embedder or settings, or was written by another version.
    """
    _check_whole(file)
    if file.read(len(MAGIC)) != MAGIC:
        raise Unusable("another version of toonface wrote it")
    header: dict[str, Any] = json.loads(file.readline())
    made_for = (header["gallery"], header["dimension"], header["embedder"], IndexSettings(**header["index"]))
    if made_for != (key.id, key.dimension, key.embedder, key.index):
        raise Unusable("it is of another gallery, embedder or index type")
    return header


def describe(folder: Path, key: GalleryKey, snapshot: Snapshot) -> str:
    """What a gallery's saved index is worth to a server that starts now.

    Returns:
        `none`; `current`; `behind`, with how many changes; or `unusable`, with the reason, and is built anew then.

    Raises:
        Damaged: it is not what was written.
    """
    try:
        with file_of(folder, key.id).open("rb") as file:
            position = read_header(file, key)["position"]["sequence"]
    except FileNotFoundError:
        return "none"
    except Damaged:
        raise
    except Unusable as reason:
        return f"unusable: {reason}"
    behind = snapshot.sequence() - position
    return "current" if behind == 0 else f"behind by {behind} changes"


def _check_whole(file: IO[bytes]) -> None:
    rest = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    digest = hashlib.sha256()
    while rest > 0 and (chunk := file.read(min(rest, _CHUNK))):
        digest.update(chunk)
        rest -= len(chunk)
    if rest != 0 or file.read() != digest.digest():
        raise Damaged("it is damaged")
    file.seek(0)
