"""Decoding: the right pixels for every kind of picture."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from toonface_ensemble.decode import decode_image

HEIGHT, WIDTH = 45, 67
ORIENTATION = 0x0112


def smooth_picture(seed: int = 0) -> np.ndarray:
    """UINT8 [45,67,3] with gradients, as photographs have; the sides are odd and no multiples of a JPEG block."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def encode(picture: np.ndarray | Image.Image, file_format: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def opencv(data: bytes) -> np.ndarray:
    """RGB as cv2.imread sees it, with which PaddleX reads pictures."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def png_16_bit(samples: np.ndarray) -> bytes:
    """A PNG of UINT16 [H,W] (grey) or [H,W,3]."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if samples.ndim == 2 else 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PLAIN = {
    "jpeg 4:2:0": encode(smooth_picture(), "JPEG", quality=90, subsampling=2),
    "jpeg 4:2:2": encode(smooth_picture(), "JPEG", quality=85, subsampling=1),
    "jpeg 4:4:4": encode(smooth_picture(), "JPEG", quality=95, subsampling=0),
    "jpeg progressive": encode(smooth_picture(), "JPEG", progressive=True),
    "jpeg grey": encode(Image.fromarray(smooth_picture()).convert("L"), "JPEG"),
    "png": encode(smooth_picture(), "PNG"),
    "png grey": encode(Image.fromarray(smooth_picture()).convert("L"), "PNG"),
    "png one bit": encode(Image.fromarray(smooth_picture()).convert("1"), "PNG"),
    "png palette": encode(Image.fromarray(smooth_picture()).convert("P"), "PNG"),
    "png 16 bit": png_16_bit(np.random.default_rng(1).integers(0, 65536, (9, 11, 3))),
    "png 16 bit grey": png_16_bit(np.random.default_rng(2).integers(0, 65536, (9, 11))),
    "webp": encode(smooth_picture(), "WEBP", quality=80),
    "webp lossless": encode(smooth_picture(), "WEBP", lossless=True),
    "bmp": encode(smooth_picture(), "BMP"),
    "tiff": encode(smooth_picture(), "TIFF"),
    "tiff lzw": encode(smooth_picture(), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_plain_pictures_have_opencv_pixels(data):
    pixels = decode_image(data)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, opencv(data))


def test_lossless_formats_keep_every_pixel():
    picture = smooth_picture()
    for file_format, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        np.testing.assert_array_equal(decode_image(encode(picture, file_format, **options)), picture)


def test_16_bit_samples_are_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(4, 64)
    pixels = decode_image(png_16_bit(ramp))
    np.testing.assert_array_equal(pixels[..., 0], np.arange(256).reshape(4, 64))
    np.testing.assert_array_equal(decode_image(encode(Image.fromarray(ramp), "TIFF")), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_opencv_does(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(smooth_picture(), "JPEG", exif=exif)
    np.testing.assert_array_equal(decode_image(data), opencv(data))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_orientation_of_other_formats_is_applied_once(file_format):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    upright = decode_image(encode(smooth_picture(), file_format, exif=exif))
    np.testing.assert_array_equal(upright, np.rot90(smooth_picture(), k=-1))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + b"garbage" * 9])
def test_damaged_exif_does_not_spoil_the_picture(exif):
    plain = encode(smooth_picture(), "JPEG")
    np.testing.assert_array_equal(decode_image(encode(smooth_picture(), "JPEG", exif=exif)), decode_image(plain))


def test_transparency_is_laid_on_white():
    alpha = np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))
    rgba = np.dstack([smooth_picture(), alpha])
    share = alpha[..., np.newaxis] / 255
    expected = smooth_picture() * share + 255 * (1 - share)
    for data in (encode(rgba, "PNG"), encode(rgba, "WEBP", lossless=True, exact=True), encode(rgba, "TIFF")):
        assert np.abs(decode_image(data) - expected).max() <= 1


def test_what_lies_hidden_under_transparent_pixels_does_not_show():
    hidden = np.dstack([smooth_picture(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    assert (decode_image(encode(hidden, "PNG")) == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_transparent_colour_of_a_palette_becomes_white(file_format):
    image = Image.new("P", (4, 3))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    pixels = decode_image(encode(image, file_format, transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 100, 50]


def test_transparent_grey_is_laid_on_white():
    grey_alpha = Image.merge("LA", [Image.new("L", (4, 3), 0), Image.new("L", (4, 3), 128)])
    assert decode_image(encode(grey_alpha, "PNG"))[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 0, 0), (255,) * 3),
        ((0, 0, 0, 255), (0,) * 3),
    ],
)
def test_adobe_inverted_cmyk_shows_the_colours_that_were_meant(ink, colour):
    data = encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(decode_image(data).astype(int) - colour).max() <= 3


def test_cmyk_is_converted_as_opencv_does():
    data = encode(Image.fromarray(smooth_picture()).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode_image(data).astype(int) - opencv(data)).max() <= 3


@pytest.mark.parametrize(
    ("file_format", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_of_several_pictures_the_first_counts(file_format, options):
    first = Image.fromarray(smooth_picture()).quantize(64).convert("RGB")
    second = Image.new("RGB", first.size, "blue")
    data = encode(first, file_format, save_all=True, append_images=[second], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    np.testing.assert_array_equal(decode_image(data), np.asarray(first))


def test_multi_picture_jpeg_of_a_phone():
    first = smooth_picture()
    data = encode(first, "MPO", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT), "blue")])
    np.testing.assert_array_equal(decode_image(data), opencv(data))


def test_threads_do_not_disturb_each_other():
    files = list(PLAIN.values())
    alone = [decode_image(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode_image, files * 10))
    for index, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[index % len(files)])
