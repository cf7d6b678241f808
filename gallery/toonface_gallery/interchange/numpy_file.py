"""Faces in one NumPy file (.npz), which holds plain arrays and no pickles. It is read and written as a whole.

Arrays: `embeddings` FP32 [N,D] and `labels` str [N], which are all that a file made by hand needs; `sources` str [N],
`ids` INT64 [N] (-1 for none), `qualities` FP32 [N] (NaN for none), `created` datetime64[us] [N] in UTC (NaT for none);
`gallery` and `embedder`, str [].
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_gallery.interchange.portable import FacesInMemory, Origin, PortableFaces, defaults, written_whole

# What NumPy and zipfile raise of a damaged or hostile file: RuntimeError of members that are encrypted, or compressed
# in a way that is not known.
_UNREADABLE: Final = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read(path: Path) -> FacesInMemory:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, holds pickled objects, or its arrays are missing or do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ConfigError(f"{str(path)!r} is one array; a file of faces has `embeddings` and `labels` (.npz)")
            arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise ConfigError(f"{str(path)!r} cannot be read as a NumPy file without pickles: {error}") from error
    embeddings = _required(arrays, "embeddings", path)
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise ConfigError(
            f"{str(path)!r}: `embeddings` is {embeddings.dtype} {list(embeddings.shape)}; "
            "it must be floating point [faces, dimension]"
        )
    rows = len(embeddings)
    labels = _column(_required(arrays, "labels", path), "labels", "U", rows, path)
    ids, qualities, created = defaults(rows)
    faces = PortableFaces(
        labels=labels.tolist(),
        sources=_column(arrays.get("sources", np.full(rows, "")), "sources", "U", rows, path).tolist(),
        embeddings=embeddings.astype(np.float32),
        ids=_column(arrays.get("ids", ids), "ids", "iu", rows, path).astype(np.int64),
        qualities=_column(arrays.get("qualities", qualities), "qualities", "f", rows, path).astype(np.float32),
        created=_column(arrays.get("created", created), "created", "M", rows, path).astype("datetime64[us]"),
    )
    origin = Origin(embeddings.shape[1], _text(arrays, "gallery", path), _text(arrays, "embedder", path))
    return FacesInMemory(origin, faces)


def write(path: Path, origin: Origin, portions: Iterable[PortableFaces]) -> int:
    """Write a file, and return how many faces are in it.

    Raises:
        ConfigError: the folder or the disk does not let it be written.
    """
    none = PortableFaces([], [], np.empty((0, origin.dimension), np.float32), *defaults(0))
    faces = PortableFaces.joined([none, *portions])
    columns: dict[str, NDArray[Any]] = {
        "embeddings": faces.embeddings,
        "labels": np.array(faces.labels, np.str_),
        "sources": np.array(faces.sources, np.str_),
        "ids": faces.ids,
        "qualities": faces.qualities,
        "created": faces.created,
        "gallery": np.array(origin.gallery),
        "embedder": np.array(origin.embedder),
    }
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **columns)
    return len(faces)


def _required(arrays: dict[str, NDArray[Any]], name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        there = ", ".join(sorted(arrays)) or "none"
        raise ConfigError(f"{str(path)!r} has no array {name!r} (there are: {there})")
    return arrays[name]


def _column(array: NDArray[Any], name: str, kinds: str, rows: int, path: Path) -> NDArray[Any]:
    if array.shape != (rows,) or array.dtype.kind not in kinds:
        raise ConfigError(
            f"{str(path)!r}: {name!r} is {array.dtype} {list(array.shape)}; it does not fit {rows} embeddings "
            f"(NumPy kinds allowed: {', '.join(kinds)})"
        )
    return array


def _text(arrays: dict[str, NDArray[Any]], name: str, path: Path) -> str:
    array = arrays.get(name, np.array(""))
    if array.shape != () or array.dtype.kind != "U":
        raise ConfigError(f"{str(path)!r}: {name!r} is {array.dtype} {list(array.shape)}; it must be one text")
    return str(array)
