"""Pictures on their way to the server: whatever the caller has, as encoded bytes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toonface_contract.errors import InvalidImage
from toonface_contract.names import MAX_IMAGE_BYTES

# Bytes before the pixels of the BMP that Pillow writes.
_BMP_HEADER = 54

# Encoded bytes, a file, or RGB pixels UINT8 [H, W, 3].
ImageSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | NDArray[np.uint8]


def encoded(image: ImageSource) -> bytes:
    """The encoded bytes of a picture.

    Bytes are handed on as they are, and a file as its content. An array is encoded as BMP: lossless, and some twenty
    times as fast as PNG, which takes its place from some 22 million pixels on, where a BMP would be too large. Across a
    slow network, encode it yourself.

    Args:
        image: encoded bytes, a path, or an array UINT8 [H, W, 3] of RGB pixels.

    Returns:
        An encoded picture of at most `MAX_IMAGE_BYTES`.

    Raises:
        InvalidImage: the file cannot be read, the array has another type or shape, or the picture is empty or too
            large.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        data, name = bytes(image), "the picture"
    elif isinstance(image, np.ndarray):
        data, name = _lossless(image)
    else:
        data, name = _content(Path(image)), f"the picture {os.fspath(image)!r}"
    if not data:
        raise InvalidImage(f"{name} is empty: it has no bytes", code="image_empty")
    _check_size(len(data), name)
    return data


def _content(path: Path) -> bytes:
    try:
        _check_size(path.stat().st_size, f"the picture {str(path)!r}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidImage(f"cannot read the picture {str(path)!r}: {error.strerror or error}") from error


def _check_size(size: int, name: str) -> None:
    if size > MAX_IMAGE_BYTES:
        raise InvalidImage(
            f"{name} has {size:,} bytes; at most {MAX_IMAGE_BYTES:,} are allowed", code="image_too_large"
        )


def _lossless(pixels: NDArray[Any]) -> tuple[bytes, str]:
    """An array as BMP or PNG, and what it is called."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InvalidImage(
            f"the array is {pixels.dtype} {list(pixels.shape)}; a picture is uint8 [height, width, 3], in the order RGB"
        )
    # BMP fills each row up to a multiple of 4 bytes.
    size = pixels.shape[0] * -(-pixels.shape[1] * 3 // 4) * 4 + _BMP_HEADER
    kind = "BMP" if size <= MAX_IMAGE_BYTES else "PNG"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, compress_level=1)
    return buffer.getvalue(), f"the array as {kind}"
