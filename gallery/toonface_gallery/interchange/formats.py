"""Which format a path is in."""

from __future__ import annotations

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


def check_target(path: Path) -> None:
    """Refuse a path to which faces cannot be written, before they are fetched.

    Raises:
        ConfigError: naming what is allowed.
    """
    if path.suffix.lower() not in (".npz", ".parquet"):
        raise ConfigError(f"{str(path)!r} cannot be exported to; it must be {_ALLOWED}")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")


def write_faces(path: Path, origin: Origin, portions: Iterable[PortableFaces]) -> int:
    """Write faces to a `.npz` or `.parquet` file, which takes its name when it is complete; returns their number.

    Raises:
        ConfigError: the path's ending is another, or it cannot be written.
    """
    check_target(path)
    if path.suffix.lower() == ".npz":
        from toonface_gallery.interchange import numpy_file

        return numpy_file.write(path, origin, portions)
    from toonface_gallery.interchange import parquet_file

    return parquet_file.write(path, origin, portions)
