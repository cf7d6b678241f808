"""Faces between a gallery and a file, whatever the file's format."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError

# Faces held in memory at once where a format allows it: 16 MiB at 512 dimensions.
PORTION = 8192


@dataclass(frozen=True, slots=True, eq=False)
class PortableFaces:
    """Some N faces.

    Attributes:
        labels: N labels.
        sources: N sources, "" where there is none.
        embeddings: FP32 [N,D].
        ids: INT64 [N], the ids that they had in their gallery, or -1. Another gallery gives them new ones.
        qualities: FP32 [N], 0 to 1, NaN where it is not known.
        created: datetime64[us] [N] in UTC, NaT where it is not known.
    """

    labels: list[str]
    sources: list[str]
    embeddings: NDArray[np.float32]
    ids: NDArray[np.int64]
    qualities: NDArray[np.float32]
    created: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> PortableFaces:
        """The faces at these positions, INT64 [M]."""
        return PortableFaces(
            [self.labels[row] for row in rows],
            [self.sources[row] for row in rows],
            self.embeddings[rows],
            self.ids[rows],
            self.qualities[rows],
            self.created[rows],
        )

    def part(self, start: int, stop: int) -> PortableFaces:
        """The faces from `start` up to `stop`."""
        return self.take(np.arange(start, min(stop, len(self))))

    @classmethod
    def joined(cls, parts: Sequence[PortableFaces]) -> PortableFaces:
        """The faces of one part or more, as one."""
        return cls(
            [label for part in parts for label in part.labels],
            [source for part in parts for source in part.sources],
            np.concatenate([part.embeddings for part in parts]),
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.qualities for part in parts]),
            np.concatenate([part.created for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where faces come from.

    Attributes:
        dimension: D, the length of their embeddings.
        gallery: the gallery's name, or "".
        embedder: digest of the model that made the embeddings, or "" where the file does not say.
    """

    dimension: int
    gallery: str = ""
    embedder: str = ""


class FacesFile(Protocol):
    """Faces that can be read from a file, in portions."""

    @property
    def origin(self) -> Origin:
        """Where they come from."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever imports them should know, a sentence each."""

    def portions(self) -> Iterator[PortableFaces]:
        """All of them. May raise ConfigError when the file turns out to be damaged."""


@dataclass(frozen=True, slots=True, eq=False)
class FacesInMemory:
    """Faces of a file that was read as a whole."""

    origin: Origin
    faces: PortableFaces
    remarks: tuple[str, ...] = field(default=())

    @property
    def count(self) -> int:
        """See FacesFile."""
        return len(self.faces)

    def portions(self) -> Iterator[PortableFaces]:
        """See FacesFile."""
        for start in range(0, len(self.faces), PORTION):
            yield self.faces.part(start, start + PORTION)


def defaults(rows: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.datetime64]]:
    """Ids, qualities and times of faces of which none is known."""
    return np.full(rows, -1, np.int64), np.full(rows, np.nan, np.float32), np.full(rows, np.datetime64("NaT", "us"))


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block is left, complete and on disk, or never.

    Raises:
        ConfigError: the folder or the disk does not let it be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """`written_whole` for a folder of files. One that is there gives way, and is deleted with all that is in it.

    Raises:
        ConfigError: the folder's parent or the disk does not let it be written. What was there is there still, or else
            the error says where it is.
    """
    try:
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        temporary, old = aside / "new", aside / "old"
        try:
            temporary.mkdir()
            yield temporary
            for file in temporary.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            if path.exists():
                path.rename(old)
            temporary.rename(path)
        finally:
            if os.path.lexists(old) and not os.path.lexists(path):
                _put_back(old, path)
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _put_back(old: Path, path: Path) -> None:
    try:
        old.rename(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {str(path)!r}: {error.strerror or error}; what was there is now {str(old)!r}"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
