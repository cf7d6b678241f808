"""Which format a path is in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from toonface_contract.errors import ConfigError
from toonface_gallery.interchange.portable import FacesFile, Origin, PortableFaces

# Each format's module is imported when it is used: pyarrow and FAISS are not needed for NumPy files.
_ALLOWED: Final = "a .npz file, a .parquet file"


def open_faces(path: Path) -> FacesFile:
    """Open a file or folder of faces.

    Args:
        path: `.npz`, `.parquet`, PaddleX's saved index folder, or a pipeline file (`.yaml`) whose `index` names one.

    Raises:
        ConfigError: it is none of these, or damaged.
    """
    if path.is_dir():
        from toonface_gallery.interchange import paddlex_folder

        return paddlex_folder.read(path)
    match path.suffix.lower():
        case ".npz":
            from toonface_gallery.interchange import numpy_file

            return numpy_file.read(path)
        case ".parquet":
            from toonface_gallery.interchange import parquet_file

            return parquet_file.ParquetFaces(path)
        case ".yaml" | ".yml":
            from toonface_gallery.interchange import paddlex_folder

            return paddlex_folder.read(paddlex_folder.folder_of_pipeline(path))
    raise ConfigError(
        f"{str(path)!r} cannot be imported; it must be {_ALLOWED}, PaddleX's saved index folder, or a pipeline file "
        "whose key `index` names one"
    )


def check_target(target: str | Path) -> None:
    """Refuse a path to which faces cannot be written, before they are fetched.

    Raises:
        ConfigError: naming what is allowed.
    """
    path = Path(target)
    folder = _is_folder(target)
    if not folder and path.suffix.lower() not in (".npz", ".parquet"):
        raise ConfigError(
            f"{str(path)!r} cannot be exported to; it must be {_ALLOWED}, or a folder, named without an ending or with "
            "a slash at the end"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    if folder:
        from toonface_gallery.interchange import paddlex_folder

        paddlex_folder.check_replaceable(path)


def write_faces(target: str | Path, origin: Origin, portions: Iterable[PortableFaces]) -> int:
    """Write faces to what takes its name when it is complete; returns their number.

    Args:
        target: a `.npz` or `.parquet` file; or, for PaddleX's saved index folder, a name without an ending or, as a
            text, one with a slash at the end.
        origin: of the faces.
        portions: of the faces.

    Raises:
        ConfigError: the path's ending is another, or it cannot be written.
    """
    check_target(target)
    path = Path(target)
    if _is_folder(target):
        from toonface_gallery.interchange import paddlex_folder

        return paddlex_folder.write(path, origin, portions)
    if path.suffix.lower() == ".npz":
        from toonface_gallery.interchange import numpy_file

        return numpy_file.write(path, origin, portions)
    from toonface_gallery.interchange import parquet_file

    return parquet_file.write(path, origin, portions)


def _is_folder(target: str | Path) -> bool:
    return str(target).endswith(os.sep) or not Path(target).suffix
