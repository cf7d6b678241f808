"""Encoded pictures to pixels: untrusted bytes in, an upright RGB array out, or an `InvalidImage` that says why not.

Pillow decodes. Its pixels are those of cv2.imread, with which PaddleX reads pictures, wherever no alpha, CMYK or
animation is involved; it takes 1.1 to 1.3 times as long on JPEG and PNG. For that it reads the header first and
tells a truncated file, where cv2 paints what is missing grey and says nothing.
"""

from __future__ import annotations

import io
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

# TiffImagePlugin and WebPImagePlugin register their formats when imported; without that, the first such picture would
# make Pillow load every plugin it has.
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401

from toonface_contract.errors import InvalidImage, ToonfaceError, Unavailable
from toonface_contract.names import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MIN_IMAGE_SIDE

FORMATS: Final = "JPEG, PNG, WebP, BMP, GIF and TIFF"

# First bytes of the formats that are decoded; a group's name is Pillow's name of the format.
_SIGNATURE: Final = re.compile(
    rb"(?P<JPEG>\xff\xd8\xff)|(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<WEBP>RIFF.{4}WEBP)"
    rb"|(?P<BMP>BM)|(?P<GIF>GIF8[79]a)|(?P<TIFF>II\*\0|MM\0\*)",
    re.DOTALL,
)

# A JPEG may hold any number of scans, each a pass over all pixels that need not cost the sender more than 100 bytes:
# 1 MB can keep a processor busy for minutes. Cameras and encoders write about 10; this is 100 at the largest size.
_MAX_SCANNED_PIXELS: Final = 100 * MAX_IMAGE_PIXELS

# Pillow joins the EXIF segments of a JPEG one by one, in quadratic time. Real files have one for each picture in them.
_MAX_EXIF_SEGMENTS: Final = 100

# EXIF 2.3, tag Orientation: how to turn the stored picture upright. 1 is upright already.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode one picture. Safe to call from several threads.

    The EXIF orientation is applied. Grey and palette pictures become RGB; 16-bit samples keep their high byte; what is
    transparent is laid on white; CMYK is converted without its colour profile; of an animation or a file of several
    pages the first picture counts.

    Args:
        data: a JPEG, PNG, WebP, BMP, GIF or TIFF file.

    Returns:
        UINT8 [H,W,3], RGB, contiguous.

    Raises:
        InvalidImage: `image_empty`, `image_format_unsupported`, `image_truncated`, `image_too_small`,
            `image_too_large` (bytes or pixels, known from the header before any pixel is decoded; or made to take very
            long), or `invalid_image` (damaged).
        Unavailable: there is not enough memory for it now.
    """
    if not data:
        raise InvalidImage("the image is empty: it has no bytes", code="image_empty")
    if len(data) > MAX_IMAGE_BYTES:
        raise _too_large(f"the image has {len(data):,} bytes; at most {MAX_IMAGE_BYTES:,} are allowed")
    signature = _SIGNATURE.match(data)
    if signature is None or signature.lastgroup is None:
        raise InvalidImage(
            f"the image starts with {data[:8]!r}, which is no known format; allowed are {FORMATS}",
            code="image_format_unsupported",
        )
    return _decode(signature.lastgroup, data)


def _decode(name: str, data: bytes) -> NDArray[np.uint8]:
    if name == "JPEG" and data.count(b"Exif\0\0") > _MAX_EXIF_SEGMENTS:
        raise _too_large(f"the JPEG image has more than {_MAX_EXIF_SEGMENTS} EXIF segments; save it without metadata")
    try:
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            _check_header(image, data)
            image.load()
            return _to_rgb(_upright(image))
    except ToonfaceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(f"the image has more than the {MAX_IMAGE_PIXELS:,} pixels allowed; scale it down") from error
    except MemoryError as error:
        raise Unavailable("there is not enough memory to decode the image now; send it again later") from error
    except Exception as error:  # damaged files make Pillow's parsers raise almost any type
        raise _unreadable(name, data, error) from error


def _check_header(image: Image.Image, data: bytes) -> None:
    """Refuse, before anything is decoded, what is too large or too small, or costs far more than its size says."""
    width, height = image.size
    if min(width, height) < MIN_IMAGE_SIDE:
        raise InvalidImage(
            f"the image is {width}x{height}; each side must have at least {MIN_IMAGE_SIDE} pixels",
            code="image_too_small",
        )
    if width * height > MAX_IMAGE_PIXELS:
        raise _too_large(
            f"the image is {width}x{height}, {width * height:,} pixels; at most {MAX_IMAGE_PIXELS:,} are allowed: "
            "scale it down"
        )
    if image.format in ("JPEG", "MPO"):
        # Within compressed data a marker cannot occur by chance; elsewhere it does every 64 KiB, which the limit bears.
        scans = data.count(b"\xff\xda")
        if scans * width * height > _MAX_SCANNED_PIXELS:
            raise _too_large(f"the JPEG image has {scans} scans of {width}x{height} pixels; save it as a baseline JPEG")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Whole tiles are decoded, however little of them the picture shows.
        tile_width, tile_height = image.tag_v2.get(322, 0), image.tag_v2.get(323, 0)
        if tile_width * tile_height > MAX_IMAGE_PIXELS:
            raise _too_large(
                f"the TIFF image has tiles of {tile_width}x{tile_height} pixels; "
                f"at most {MAX_IMAGE_PIXELS:,} pixels are allowed"
            )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata does not spoil the picture
        return image
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255. The high byte is what it takes of 16-bit colour, and cv2 of either.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if image.mode in ("I", "F"):
        raise InvalidImage(
            "the image has 32-bit samples, of which the range is not known; save it with 8 or 16 bits a sample",
            code="image_format_unsupported",
        )
    if image.has_transparency_data:
        coloured = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(coloured, mask=coloured)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _unreadable(name: str, data: bytes, error: Exception) -> InvalidImage:
    if "truncated" in str(error).lower() or _is_cut_short(name, data):
        return InvalidImage(
            f"the {name} image ends too early, after {len(data):,} bytes; send the whole file", code="image_truncated"
        )
    # Of an unidentified image Pillow says no more than the address of an object.
    reason = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else str(error)
    return InvalidImage(f"the {name} image is damaged: {reason}")


def _is_cut_short(name: str, data: bytes) -> bool:
    """Whether a file that cannot be read lacks its end, by the mark that ends it or the length that it gives itself."""
    if name == "JPEG":
        return b"\xff\xd9" not in data
    if name == "PNG":
        return b"IEND" not in data
    if name == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False


def _too_large(message: str) -> InvalidImage:
    return InvalidImage(message, code="image_too_large")
