"""The user's own pictures, to compare forms of a network on or to take statistics over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError, InvalidImage
from toonface_ensemble.crop import crop_faces
from toonface_ensemble.decode import decode_image

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Sample:
    """One picture.

    Attributes:
        name: its path in the folder.
        path: of the file.
    """

    name: str
    path: Path

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """UINT8 [H,W,3], RGB. Decoded at each call: hundreds of photographs at their full size are many gigabytes.

        Raises:
            ConfigError: the picture cannot be read; the message names the file.
        """
        try:
            return decode_image(self.path.read_bytes())
        except OSError as error:
            raise ConfigError(f"picture {self.path} cannot be read: {error.strerror}") from error
        except InvalidImage as error:
            raise ConfigError(f"picture {self.path} cannot be used: {error.message}") from error


def load_samples(folder: Path, most: int) -> list[Sample]:
    """Read the pictures of a folder and its sub-folders, in the order of their paths.

    Args:
        folder: the folder.
        most: of more pictures than this, evenly spaced ones are taken.

    Raises:
        ConfigError: it is no folder, holds no pictures, or a picture cannot be read; the message names the file.
    """
    try:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; name one that holds pictures")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error}; name a folder that holds pictures") from error
    if not paths:
        raise ConfigError(f"{folder} holds no pictures ({', '.join(_SUFFIXES)})")
    chosen = (paths[row] for row in evenly_spaced(len(paths), most))
    samples = [Sample(path.relative_to(folder).as_posix(), path) for path in chosen]
    for sample in samples:
        _ = sample.pixels  # one that cannot be read is told before anything is done with the others
    return samples


def evenly_spaced(count: int, most: int) -> list[int]:
    """Rows of `count`, rising: all of them, or `most` of more."""
    chosen = min(count, most)
    return [index * count // chosen for index in range(chosen)]


NamedFaces = tuple[tuple[str, ...], NDArray[np.uint8]]
"""Names of N faces, for people to find them by, and the faces UINT8 [N,112,112,3]."""


def as_faces(samples: Sequence[Sample]) -> NamedFaces:
    """Whole pictures as faces."""
    return tuple(sample.name for sample in samples), np.stack([as_face(sample.pixels) for sample in samples])


def as_face(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A whole picture UINT8 [H,W,3] as one face, UINT8 [112,112,3]."""
    height, width = pixels.shape[:2]
    [face] = crop_faces(pixels, np.array([[0, 0, width, height]], np.float32))
    return np.asarray(face)
