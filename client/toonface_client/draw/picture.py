"""A result drawn into its picture."""

from __future__ import annotations

import io
import math
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from toonface_client.draw.labels import Colour, contrasting, fitted_label, place
from toonface_client.images import ImageSource, encoded
from toonface_client.results import Face, RecognitionResult
from toonface_contract.errors import InvalidImage, InvalidRequest

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart
# (https://jfly.uni-koeln.de/color/). A name always gets the same one.
_NAME_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_UNKNOWN_COLOUR: Colour = (96, 96, 96)

# Shares of the picture's geometric mean side, and of a face's width.
_LINE_WIDTH = 1 / 320
_TEXT_SIZE = 1 / 42
_TEXT_SIZE_OF_FACE = 0.3
_SMALLEST_WANTED_TEXT = 12


def draw_result(image: ImageSource | Image.Image, result: RecognitionResult) -> Image.Image:
    """Draws boxes, names and scores into a picture.

    Known faces have a colour for each name, unknown ones are grey, and have the score of their nearest match too.
    Labels lie inside the picture, and off other faces and labels where there is room; in a picture too small for any
    text they are shortened or left out.

    Args:
        image: the picture that was recognised: encoded, a path, RGB pixels UINT8 [H, W, 3], or a PIL image.
        result: what the server answered for it.

    Returns:
        A new RGB image, upright as the server saw it (EXIF orientation applied), of the picture's size.

    Raises:
        InvalidImage: the picture cannot be decoded.
        InvalidRequest: the result is that of a picture of another size.
    """
    picture = upright(image)
    if picture.size != (result.width, result.height):
        raise InvalidRequest(
            f"the picture is {picture.width} x {picture.height} and the result is for one of "
            f"{result.width} x {result.height}: they do not belong together"
        )
    canvas = ImageDraw.Draw(picture)
    boxes = np.array([_corners(face, picture.size) for face in result.faces]).reshape(-1, 4)
    mean_side = math.sqrt(picture.width * picture.height)
    for face, box in zip(result.faces, boxes, strict=True):
        _draw_box(canvas, box, _colour(face), max(1, round(mean_side * _LINE_WIDTH)))
    placed: list[tuple[int, int, int, int]] = []
    for index, (face, box) in enumerate(zip(result.faces, boxes, strict=True)):
        size = max(_SMALLEST_WANTED_TEXT, round(min(mean_side * _TEXT_SIZE, (box[2] - box[0]) * _TEXT_SIZE_OF_FACE)))
        score = None if face.score is None else f"{face.score:.2f}"
        label = fitted_label(face.label, score, size, *picture.size)
        if label is None:
            continue
        others = np.delete(boxes, index, axis=0)
        left, top = place((label.width, label.height), box, others, placed, picture.size)
        label.draw(canvas, left, top, _colour(face))
        placed.append((left, top, left + label.width, top + label.height))
    return picture


def upright(image: ImageSource | Image.Image) -> Image.Image:
    """A new RGB image with the pixels that the server saw.

    The EXIF orientation is applied, transparent parts lie on white, 16-bit samples keep their high byte, and of several
    frames or pages the first counts.

    Raises:
        InvalidImage: the picture cannot be decoded.
    """
    try:
        if isinstance(image, np.ndarray):
            return Image.fromarray(image).convert("RGB")
        if not isinstance(image, Image.Image):
            image = Image.open(io.BytesIO(encoded(image)))
        image.load()
        return _rgb(_turned(image))
    except (UnidentifiedImageError, OSError, ValueError, TypeError, Image.DecompressionBombError) as error:
        raise InvalidImage(f"the picture cannot be drawn into: {error}") from error


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Damaged metadata makes Pillow raise almost anything, and does not spoil the picture.
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    on_white = Image.new("RGB", image.size, "white")
    coloured = image.convert("RGBA")
    on_white.paste(coloured, mask=coloured)
    return on_white


def _corners(face: Face, size: tuple[int, int]) -> NDArray[np.float64]:
    """Corners of a face's box within the picture, at least a pixel apart."""
    width, height = size
    x1, y1 = np.clip(math.floor(face.box.x1), 0, width - 1), np.clip(math.floor(face.box.y1), 0, height - 1)
    x2, y2 = np.clip(math.ceil(face.box.x2), x1 + 1, width), np.clip(math.ceil(face.box.y2), y1 + 1, height)
    return np.array([x1, y1, x2, y2], dtype=np.float64)


def _draw_box(canvas: ImageDraw.ImageDraw, box: NDArray[np.float64], colour: Colour, width: int) -> None:
    x1, y1, x2, y2 = (int(value) for value in box)
    if min(x2 - x1, y2 - y1) > 16 * width:
        # A thin edge of the opposite brightness on either side keeps the line visible on any background.
        canvas.rectangle((x1 - 1, y1 - 1, x2, y2), outline=contrasting(colour), width=width + 2)
    canvas.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=width)


def _colour(face: Face) -> Colour:
    if not face.known:
        return _UNKNOWN_COLOUR
    return _NAME_COLOURS[zlib.crc32(face.label.encode()) % len(_NAME_COLOURS)]
