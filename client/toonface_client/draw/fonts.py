"""Which font draws which character: fonts from Python packages first, then the system's."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont, features

# Families that come as Python packages announce themselves under these groups (fontpkg.org; justmytype).
_FONT_PACKAGE_GROUPS = ("fontpkg.family", "justmytype.packs")
_CJK_PACKAGE = "noto_cjk_sans_otc"
_SUFFIXES = (".ttf", ".otf", ".ttc")
# Faces that are no good for a plain label, or no text at all.
_UNSUITABLE = re.compile(
    r"italic|oblique|bold|black|heavy|thin|light|medium|cond|mono|serif|slanted|emoji|symbol|math|display|nastaliq|kufi",
    re.IGNORECASE,
)
_PROBE_SIZE = 24
# A code point that is no character in any font; what a font draws for it, it draws for all that it lacks.
_NONCHARACTER = "\uffff"


def find_font(text: str) -> Path | None:
    """A font that has all characters of a text, or None.

    Args:
        text: a grapheme cluster, or a few of them. Invisible characters are not asked of a font.
    """
    visible = "".join(sorted({character for character in text if not _invisible(character)}))
    return _find_font(visible)


def covers(font: Path, text: str) -> bool:
    """Whether a font has all visible characters of a text."""
    return all(_covers(font, character) for character in text if not _invisible(character))


@cache
def can_shape() -> bool:
    """Whether Pillow joins and reorders letters: it needs libraqm, and finds FriBiDi only when it runs."""
    return bool(features.check("raqm"))


@lru_cache(maxsize=4096)
def _find_font(visible: str) -> Path | None:
    return next((font for font in _chain() if covers(font, visible)), None)


@lru_cache(maxsize=65536)
def _covers(font: Path, character: str) -> bool:
    # Pillow does not tell which characters a font has. It draws the same box, or nothing, for each that is lacking.
    probe = _probe(font)
    return probe is not None and bytes(probe.getmask(character)) != bytes(probe.getmask(_NONCHARACTER))


@cache
def _probe(font: Path) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(font, _PROBE_SIZE, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return None  # Damaged, or made of bitmaps of other sizes.


def _chain() -> Iterator[Path]:
    yield from _packaged_fonts()
    yield from _system_fonts()


@cache
def _packaged_fonts() -> tuple[Path, ...]:
    modules = [entry.module for group in _FONT_PACKAGE_GROUPS for entry in entry_points(group=group)]
    # Noto Sans is the base: it has Latin, Greek, Cyrillic and Devanagari, and sets the look of the rest.
    modules.sort(key=lambda module: (module != "fontpkg_noto_sans", module))
    return tuple(font for module in [*modules, _CJK_PACKAGE] for font in _fonts_of(module))


def _fonts_of(module: str) -> list[Path]:
    spec = find_spec(module)
    folders = spec.submodule_search_locations if spec else None
    return [font for folder in folders or () for font in _fonts_under(Path(folder))]


@cache
def _system_fonts() -> tuple[Path, ...]:
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"]
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), Path.home() / "Library/Fonts"]
    else:
        # As in fontconfig's own default configuration.
        data = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
        folders = [Path(folder) / "fonts" for folder in (home, *data.split(":"))]
    fonts = [font for folder in folders for font in _fonts_under(folder)]
    return tuple(sorted(fonts, key=lambda font: ("sans" not in font.name.lower(), len(font.name), font)))


def _fonts_under(folder: Path) -> list[Path]:
    """The suitable fonts in a folder, in a stable order."""
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sorted(font for font in found if font.suffix.lower() in _SUFFIXES and not _unsuitable(font))


def _unsuitable(font: Path) -> bool:
    return _UNSUITABLE.search(re.sub("sans-?serif", "", font.stem, flags=re.IGNORECASE)) is not None


def _invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
