"""Indices in files, for a quick start: written whole or not at all, and believed only as far as they can be checked."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from toonface_gallery.labels import FaceLabels
from toonface_gallery.loaded import FrozenGallery, LoadedGallery
from toonface_gallery.overlay import Overlay
from toonface_gallery.plan import IndexPlan
from toonface_gallery.saved_file import MAGIC, Unusable, file_of, read_header
from toonface_gallery.snapshot import GalleryKey, Position

__all__ = ["SavedIndices", "Unusable"]


class SavedIndices:
    """A folder of saved indices, a file for each gallery. Several servers may share it."""

    def __init__(self, folder: Path) -> None:
        """Use this folder, and make it when something is saved."""
        self.folder = folder

    def path(self, key: GalleryKey) -> Path:
        """The file of a gallery."""
        return file_of(self.folder, key.id)

    def save(self, gallery: FrozenGallery) -> None:
        """Save a gallery: a temporary file, fsync, rename. It is thawed as soon as the system has all of it.

        Raises:
            OSError: the disk is full, or read-only. What was there before is still there, as it is after any error.
            Overtaken: there was no room for what changed meanwhile.
        """
        header = {
            "dimension": gallery.key.dimension,
            "embedder": gallery.key.embedder,
            "gallery": gallery.key.id,
            "index": gallery.key.index.model_dump(),
            "plan": asdict(gallery.plan),
            "position": asdict(gallery.position),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _replacing(self.path(gallery.key)) as file:
                out = _Digesting(file, gallery.overlay)
                out.write(MAGIC)
                out.write(json.dumps(header).encode() + b"\n")
                gallery.labels.save(out)
                gallery.index.save(out)
                gallery.overlay.thaw()  # the disk may take long
                file.write(out.digest.digest())
        finally:
            gallery.overlay.thaw()

    def load(self, key: GalleryKey) -> LoadedGallery | None:
        """The saved index of a gallery, or None where there is none.

        Raises:
            Unusable: it is damaged, of another gallery, embedder or settings, or was written by another version.
        """
        try:
            file = self.path(key).open("rb")
        except FileNotFoundError:
            return None
        with file:
            header = read_header(file, key)
            try:
                plan = IndexPlan(**header["plan"])
                labels = FaceLabels()
                labels.restore(file)
                index, _ = plan.make(key.dimension, key.index.metric, self.folder)
                index.restore(file)
                return LoadedGallery(key, plan, index, labels, Position(**header["position"]))
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise Unusable(f"this version of toonface or FAISS cannot read it: {error}") from error

    def discard(self, gallery_id: int) -> None:
        """Delete the saved index of a gallery, if there is one and it can be."""
        with suppress(OSError):
            file_of(self.folder, gallery_id).unlink(missing_ok=True)

    def keep_only(self, galleries: set[int]) -> None:
        """Delete the files of galleries with other ids, and what writers that were killed have left.

        The ids must be all of the store's: the folder may hold files of servers with another embedder.
        """
        wanted = {f"gallery-{number}.index" for number in galleries}
        for path in self.folder.glob("gallery-*.index*"):
            with suppress(OSError):
                if path.name not in wanted and not _is_being_written(path):
                    path.unlink()


class _Digesting:
    """A stream that takes the digest of what goes through it, and ends when what is written is overtaken."""

    def __init__(self, file: IO[bytes], overlay: Overlay) -> None:
        self._file = file
        self._overlay = overlay
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self._overlay.check()
        self.digest.update(data)
        return self._file.write(data)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once the block is left without an error, and is on disk by then."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        try:
            with suppress(OSError):  # not every file system has locks; see `_is_being_written`
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(file.name)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_being_written(path: Path) -> bool:
    """Whether somebody writes this temporary file: a lock that goes with the process, however that ends, says so."""
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
