"""Drawing: what is drawn where, in which colours, and what is left alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from toonface_client import Box, Face, Match, RecognitionResult, draw_result
from toonface_client.draw import picture as drawing
from toonface_client.draw.labels import contrasting, fitted_label, place
from toonface_contract.errors import InvalidImage, InvalidRequest

GREY = (127, 127, 127)


def face(x: float, y: float, size: float, label: str = "Ada", score: float | None = 0.87) -> Face:
    matches = () if score is None else (Match(1, label, score),)
    return Face(Box(x, y, x + size, y + size), 0.9, label, matches)


def result(size: tuple[int, int], *faces: Face) -> RecognitionResult:
    return RecognitionResult(faces, len(faces), *size)


def drawn(size: tuple[int, int], *faces: Face, background: tuple[int, int, int] = GREY) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of a plain picture with these faces drawn in."""
    picture = Image.new("RGB", size, background)
    pixels = np.asarray(draw_result(picture, result(size, *faces)))
    assert picture.getcolors() == [(size[0] * size[1], background)], "the caller's picture was drawn into"
    return pixels


def where(pixels: NDArray[np.uint8], colour: Sequence[int]) -> NDArray[np.bool_]:
    """Which pixels have a colour: [H, W]."""
    return np.asarray((pixels == np.array(colour)).all(axis=2))


def bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def contrast(first: Sequence[int], second: Sequence[int]) -> float:
    """Contrast ratio of WCAG 2.2."""

    def luminance(colour: Sequence[int]) -> float:
        share = np.array(colour) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_box_and_a_filled_label_with_text_are_drawn_and_nothing_else() -> None:
    pixels = drawn((400, 300), face(100, 120, 80))
    colour = drawing._colour(face(0, 0, 1))
    left, top, right, bottom = bounds(where(pixels, colour))
    assert (left, right) == (100, 180)
    assert bottom == 200
    label = pixels[top : top + 12, left:right]
    assert where(label, contrasting(colour)).sum() > 20, "the label holds no text"
    rest = pixels.copy()
    rest[top:202, 98:182] = GREY
    assert where(rest, GREY).all()
    assert where(pixels[125:195, 105:175], GREY).all(), "the face itself is covered"


@pytest.mark.parametrize("colour", [*drawing._NAME_COLOURS, drawing._UNKNOWN_COLOUR])
def test_text_stands_out_from_its_label(colour: tuple[int, int, int]) -> None:
    assert contrast(colour, contrasting(colour)) >= 4.5


@pytest.mark.parametrize("label", ["Ada", "Grace", "Unknown"])
@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (96, 96, 96), *drawing._NAME_COLOURS])
def test_boxes_are_seen_on_any_background(background: tuple[int, int, int], label: str) -> None:
    """A line and its edges have a contrast of 4.5, so one of them has the root of that, or more, to anything."""
    pixels = drawn((400, 300), face(100, 120, 80, label), background=background)
    bottom_edge = pixels[190:210, 140]
    assert max(contrast(pixel, background) for pixel in bottom_edge.tolist()) >= 4.5**0.5


def test_names_keep_their_colour_and_unknown_has_its_own() -> None:
    known = where(drawn((400, 300), face(100, 120, 80, "Grace")), drawing._colour(face(0, 0, 1, "Grace")))
    assert known.sum() > 100
    unknown = drawn((400, 300), face(100, 120, 80, "Unknown", 0.2))
    assert where(unknown, drawing._UNKNOWN_COLOUR).sum() > 100
    assert not any(where(unknown, colour).any() for colour in drawing._NAME_COLOURS)


def test_the_score_is_drawn() -> None:
    one, two, none = (drawn((400, 300), face(100, 120, 80, "Ada", score)) for score in (0.11, 0.87, None))
    assert (one != two).any()
    assert where(none, GREY).sum() > where(two, GREY).sum(), "without a score the label is narrower"


@pytest.mark.parametrize("size", [(2, 2), (16, 16), (40, 30), (3, 200), (200, 3)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    everywhere = Face(Box(0, 0, *size), 0.9, "Somebody with a long name", (Match(1, "x", 0.5),))
    outside = Face(Box(-50, -50, 1000, 1000), 0.9, "Unknown", ())
    pixels = drawn(size, everywhere, outside, face(size[0], size[1], 0))
    assert not where(pixels, GREY).all()


@given(
    picture=st.tuples(st.integers(60, 900), st.integers(30, 900)),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.floats(0.01, 1),
    name=st.text(min_size=1, max_size=40, alphabet="abgij ÄΩЖ"),
)
@settings(max_examples=40, deadline=None)
def test_labels_lie_inside_the_picture(
    picture: tuple[int, int], corner: tuple[float, float], size: float, name: str
) -> None:
    label = fitted_label(name, "0.50", 30, *picture)
    if label is None:
        return
    assert label.width <= picture[0]
    assert label.height <= picture[1]
    x, y = corner[0] * picture[0], corner[1] * picture[1]
    box = np.array([x, y, x + size * picture[0], y + size * picture[1]])
    left, top = place((label.width, label.height), box, np.empty((0, 4)), [], picture)
    assert 0 <= left <= picture[0] - label.width
    assert 0 <= top <= picture[1] - label.height


def test_labels_keep_off_other_faces_and_labels_where_they_can() -> None:
    boxes = np.array([[100, 100, 160, 160], [100, 30, 160, 99], [100, 161, 160, 230]], dtype=np.float64)
    label, picture = (90, 20), (400, 300)
    left, top = place(label, boxes[0], boxes[1:], [], picture)
    assert not any(overlap((left, top, left + 90, top + 20), box) for box in boxes)
    taken = (left, top, left + 90, top + 20)
    left, top = place(label, boxes[0], boxes[1:], [taken], picture)
    assert not any(overlap((left, top, left + 90, top + 20), box) for box in (*boxes, taken))


def overlap(first: Sequence[float], second: Sequence[float]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def test_long_names_are_shortened_and_leave_half_the_picture_free() -> None:
    short, long = (fitted_label(name, "0.5", 20, 1000, 500) for name in ("Ada", "Ada of many names " * 15))
    assert short is not None
    assert long is not None
    assert short.width < long.width <= 500
    assert long.parts[0].runs[-1].text.endswith("\u2026")


def test_a_name_of_invisible_characters_still_gets_a_label() -> None:
    label = fitted_label("\u202e\x00", None, 20, 400, 300)
    assert label is not None
    assert label.parts[0].runs[0].text == "?"


def test_a_crowd_is_drawn() -> None:
    faces = [face(x, y, 18, f"P{x}") for x in range(0, 780, 30) for y in range(0, 580, 40)]
    pixels = drawn((800, 600), *faces)
    assert len(faces) == 390
    assert where(pixels, GREY).mean() < 0.7


def test_the_picture_is_drawn_upright_as_the_server_sees_it(tmp_path: Path) -> None:
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste("red", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn a quarter clockwise: what was left is on top.
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    shown = draw_result(tmp_path / "turned.jpg", result((40, 60)))
    assert shown.size == (40, 60)
    assert shown.getpixel((20, 5))[1] < 60 < 200 < shown.getpixel((20, 55))[1]  # type: ignore[index]


def test_transparency_sixteen_bits_arrays_and_bytes() -> None:
    hidden = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert draw_result(hidden, result((8, 8))).getpixel((4, 4)) == (255, 255, 255)
    deep = Image.fromarray(np.full((8, 8), 0x8040, np.uint16))
    assert draw_result(deep, result((8, 8))).getpixel((4, 4)) == (0x80, 0x80, 0x80)
    assert draw_result(np.full((8, 8, 3), 9, np.uint8), result((8, 8))).getpixel((4, 4)) == (9, 9, 9)
    buffer = io.BytesIO()
    Image.new("P", (8, 8), 0).save(buffer, "GIF")
    assert draw_result(buffer.getvalue(), result((8, 8))).mode == "RGB"


def test_a_result_of_another_picture_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="10 x 20 and the result is for one of 20 x 10"):
        draw_result(Image.new("RGB", (10, 20)), result((20, 10)))


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InvalidImage, match="cannot be drawn into"):
        draw_result(b"no picture", result((1, 1)))
