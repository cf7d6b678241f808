"""Names in any script: fonts, shaping, direction, and what is done without them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw

from toonface_client.draw.fonts import can_shape, find_font
from toonface_client.draw.text import Line, clusters_of, drawable, line_of

# No font has a glyph for what Unicode has not assigned.
UNASSIGNED = "\u0378"

NAMES = {
    "Latin": "Ærøskøbing Ngũgĩ",
    "Greek": "Σωκράτης",
    "Cyrillic": "Чебурашка",
    "Devanagari": "मीना कुमारी",
    "Arabic": "علي بن محمد",
    "Hebrew": "שלום",
    "Thai": "ปิ่นโต น้ำใจ",
    "Bengali": "বাংলা",
    "Tamil": "தமிழ்",
    "Chinese": "孫悟空",
    "Japanese": "ドラえもん",
    "Korean": "둘리",
}


def ink(line: Line) -> np.ndarray:
    """The line's pixels: [H, W], 255 where there is no ink."""
    canvas = Image.new("L", (round(line.width()) + 20, 80), 255)
    rgb = canvas.convert("RGB")
    line.draw(ImageDraw.Draw(rgb), 10, 50, (0, 0, 0))
    return np.asarray(rgb.convert("L"))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_every_script_has_a_font_and_is_drawn_within_its_measures(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawable(name) == name
    line = line_of(name, 30)
    pixels = ink(line)
    rows, columns = np.nonzero(pixels < 128)
    assert len(rows) > 100
    top, bottom = line.ink()
    assert 50 + top - 1 <= rows.min()
    assert rows.max() <= 50 + bottom + 1
    assert columns.min() >= 5
    assert columns.max() <= line.width() + 15


def test_no_name_is_drawn_as_empty_boxes() -> None:
    """Different letters look different, which boxes would not."""
    for first, second in (("علي", "محم"), ("孫悟", "空大"), ("둘", "리"), ("ป", "ต"), ("ש", "ל")):
        one, two = ink(line_of(first, 30)), ink(line_of(second, 30))
        assert one.shape != two.shape or (one != two).any()


def test_letters_are_joined_and_marks_take_no_room() -> None:
    assert can_shape(), "Pillow finds no FriBiDi: apt install libfribidi0"
    assert line_of("لا", 40).width() < line_of("ل", 40).width() + line_of("ا", 40).width()
    assert line_of("क्ष", 40).width() < line_of("क", 40).width() + line_of("ष", 40).width()
    assert line_of("น้", 40).width() == pytest.approx(line_of("น", 40).width(), abs=1)


def test_letters_and_marks_are_composed_and_kept_together() -> None:
    assert drawable("Zoe\u0308") == "Zoë"
    assert list(clusters_of("น้ำนม")) == ["น้", "ำ", "น", "ม"]
    assert list(clusters_of("a\u200db")) == ["a\u200db"]


def test_one_font_draws_the_whole_where_it_can_and_else_as_much_as_it_can() -> None:
    assert len(line_of("Ada Lovelace", 20).runs) == 1
    runs = line_of("Ada 孫悟空 Smith", 20).runs
    assert "".join(run.text for run in runs) == "Ada 孫悟空 Smith"
    mixed = line_of("ปิ่นโต 孫悟空", 20).runs
    assert len({run.font.path for run in mixed}) == 2


def test_runs_of_both_directions_stand_in_reading_order() -> None:
    assert [run.text.strip() for run in line_of("שלום ปิ่นโต", 20).runs] == ["ปิ่นโต", "שלום"]
    assert [run.text.strip() for run in line_of("ปิ่นโต שלום", 20).runs] == ["ปิ่นโต", "שלום"]
    left, right = line_of("שלום ปิ่นโต", 20).runs
    assert (left.direction, right.direction) == ("ltr", "rtl")


def test_han_characters_take_the_form_of_their_language() -> None:
    assert (ink(line_of("骨直", 60)) != ink(line_of("骨直あ", 60))[:, : round(line_of("骨直", 60).width()) + 20]).any()
    assert {run.language for run in line_of("骨あ", 20).runs} == {"ja"}
    assert {run.language for run in line_of("骨한", 20).runs} == {"ko"}
    assert {run.language for run in line_of("骨", 20).runs} == {"zh-hans"}


def test_what_no_font_has_is_escaped_and_told() -> None:
    assert find_font(UNASSIGNED) is None
    with pytest.warns(UserWarning, match=r"toonface\[fonts\]"):
        assert drawable(f"Ada {UNASSIGNED}!") == r"Ada \u0378!"


def test_a_script_that_cannot_be_shaped_is_escaped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toonface_client.draw.text.can_shape", lambda: False)
    with pytest.warns(UserWarning, match="libfribidi0"):
        assert drawable("Ali علي") == r"Ali \u0639\u0644\u064a"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawable("Ada Σω 孫") == "Ada Σω 孫"
        assert line_of("Ada Σω 孫", 20).width() > 0


def test_a_name_stays_on_one_line_and_controls_nothing() -> None:
    assert drawable(" two\nlines\tand \x1b[31mmore\u202e ") == "two lines and [31mmore"
