"""Decoding: whatever the bytes are, the answer is a picture or an error that says why not, and neither takes long."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toonface_contract.errors import InvalidImage
from toonface_contract.names import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from toonface_ensemble.decode import decode_image

# Pillow warns of damaged metadata and of large pictures, which these tests are about.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (23, 31, 3), np.uint8))


def encode(file_format: str, image: Image.Image = NOISE, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that announces a size, and has hardly any pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels


def tiff_with_tiles(side: int) -> bytes:
    """A grey TIFF of 64x64 pixels in one deflated tile."""
    content = zlib.compress(bytes(64 * 64))
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def refusal(data: bytes) -> InvalidImage:
    with pytest.raises(InvalidImage) as caught:
        decode_image(data)
    return caught.value


def test_no_bytes():
    assert refusal(b"").code == "image_empty"


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"hello, I am a text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"II+\0",
    ],
)
def test_other_formats_are_refused_and_the_allowed_named(data):
    error = refusal(data)
    assert error.code == "image_format_unsupported"
    assert "JPEG, PNG, WebP, BMP, GIF and TIFF" in error.message


def test_formats_that_pillow_knows_but_nobody_asked_for_are_refused():
    for file_format in ("PPM", "ICO", "TGA", "JPEG2000"):
        assert refusal(encode(file_format)).code == "image_format_unsupported"


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_of_unknown_range_are_refused(mode):
    error = refusal(encode("TIFF", Image.new(mode, (8, 8))))
    assert error.code == "image_format_unsupported" and "32-bit" in error.message


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1)])
def test_too_small(size):
    error = refusal(encode("PNG", Image.new("RGB", size)))
    assert error.code == "image_too_small" and f"{size[0]}x{size[1]}" in error.message


def test_smallest_picture_is_taken():
    assert decode_image(encode("PNG", Image.new("RGB", (2, 2)))).shape == (2, 2, 3)


def test_too_many_bytes():
    error = refusal(b"\xff\xd8\xff" + bytes(MAX_IMAGE_BYTES))
    assert error.code == "image_too_large" and f"{MAX_IMAGE_BYTES:,}" in error.message


@pytest.mark.parametrize("size", [(8000, 8001), (12_000, 12_000), (50_000, 50_000), (2**31 - 1, 2)])
def test_size_is_judged_by_the_header(size):
    error = refusal(png_of_size(*size))
    assert error.code == "image_too_large" and f"{MAX_IMAGE_PIXELS:,}" in error.message


def test_size_within_the_limit_is_not_refused_for_it():
    assert refusal(png_of_size(8000, 8000)).code != "image_too_large"


def test_text_that_unpacks_to_very_much():
    data = encode("PNG")
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(50_000_000)))
    after_header = data.index(b"IDAT") - 4
    assert "too large" in refusal(data[:after_header] + text + data[after_header:]).message


def test_jpeg_of_very_many_scans():
    """Each repeated scan costs 100 bytes in the file, and a pass over all pixels when it is decoded."""
    data = encode("JPEG", Image.new("L", (2000, 2000)), progressive=True)
    last_scan = data[data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda")) : -2]
    assert decode_image(data).shape == (2000, 2000, 3)
    error = refusal(data[:-2] + last_scan * 2000 + data[-2:])
    assert error.code == "image_too_large" and "scans" in error.message


def test_jpeg_of_very_many_exif_segments():
    data = encode("JPEG")
    segment = b"\xff\xe1\x00\x0aExif\0\0MM"
    error = refusal(data[:2] + segment * 1000 + data[2:])
    assert error.code == "image_too_large" and "EXIF" in error.message


def test_tiff_tiles_larger_than_any_picture():
    assert refusal(tiff_with_tiles(40_000)).code == "image_too_large"


def test_tiff_tiles_somewhat_larger_than_the_picture():
    """Writers fill up the last tile; it is just this content that is too short for it."""
    assert refusal(tiff_with_tiles(256)).code == "invalid_image"
    assert decode_image(tiff_with_tiles(64)).shape == (64, 64, 3)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_every_beginning_of_a_jpeg_is_called_truncated(options):
    data = encode("JPEG", **options)
    for length in range(8, len(data)):
        assert refusal(data[:length]).code == "image_truncated", length


def test_every_beginning_of_a_png_that_lacks_pixels_is_called_truncated():
    data = encode("PNG")
    for length in range(8, data.index(b"IEND") - 12):
        assert refusal(data[:length]).code == "image_truncated", length


@pytest.mark.parametrize("file_format", ["WEBP", "BMP", "GIF"])
def test_first_half_of_other_files_is_called_truncated(file_format):
    data = encode(file_format)
    assert refusal(data[: len(data) // 2]).code == "image_truncated"


def test_damage_in_the_middle_is_named():
    data = bytearray(encode("PNG"))
    position = data.index(b"IDAT") + 40
    data[position : position + 100] = bytes(100)
    error = refusal(bytes(data))
    assert error.code == "invalid_image" and "PNG" in error.message


def test_messages_hold_no_addresses():
    for data in (encode("TIFF")[:50], b"BM" + bytes(40), b"GIF89a"):
        assert "object at" not in refusal(data).message


SEEDS = [
    encode("JPEG"),
    encode("JPEG", progressive=True),
    encode("JPEG", NOISE.convert("CMYK")),
    encode("PNG"),
    encode("PNG", NOISE.convert("RGBA")),
    encode("PNG", NOISE.convert("P")),
    encode("WEBP"),
    encode("WEBP", lossless=True),
    encode("BMP"),
    encode("GIF", NOISE, save_all=True, append_images=[NOISE.rotate(90)]),
    encode("TIFF", compression="tiff_lzw"),
    encode("TIFF", compression="jpeg"),
    encode("TIFF", NOISE.convert("I;16")),
]


def picture_or_refusal(data: bytes) -> None:
    try:
        pixels = decode_image(data)
    except InvalidImage as error:
        assert error.message
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"BM", b"GIF89a", b"II*\0", b"MM\0*"]
    ),
    st.binary(max_size=2000),
)
def test_any_bytes(signature, rest):
    picture_or_refusal(signature + rest)


@st.composite
def damaged_files(draw) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(data)


@settings(max_examples=1000, deadline=None)
@given(damaged_files())
def test_any_damage(data):
    picture_or_refusal(data)
