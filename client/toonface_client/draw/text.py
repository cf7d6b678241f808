"""Names in any script as lines of drawable runs: which font, which direction, and what to do without a font."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import ImageDraw, ImageFont

from toonface_client.draw.fonts import can_shape, covers, find_font
from toonface_contract.errors import ConfigError

Direction = Literal["ltr", "rtl"]

_JOINERS = "\u200c\u200d"
_WEIGHT = 500  # CSS's medium: a little heavier than a page's, since the ground is coloured.
# Blocks whose letters join, reorder or stack, and which are unreadable or wrong without a shaping engine: Hebrew to
# Arabic Extended-A, Devanagari to Malayalam and Sinhala, Tibetan and Myanmar, Khmer.
_SHAPED = ((0x0590, 0x08FF), (0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x17FF))


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a line that one font draws in one direction."""

    text: str
    font: ImageFont.FreeTypeFont
    direction: Direction | None
    language: str | None

    def width(self) -> float:
        """How far the run advances, in pixels."""
        return self.font.getlength(self.text, direction=self.direction, language=self.language)

    def ink(self) -> tuple[float, float]:
        """Top and bottom of the run's ink, in pixels below the baseline."""
        _, top, _, bottom = self.font.getbbox(self.text, anchor="ls", direction=self.direction, language=self.language)
        return top, bottom

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, baseline: float, colour: tuple[int, int, int]) -> None:
        """Draws the run with its left end at x."""
        canvas.text(
            (x, baseline),
            self.text,
            fill=colour,
            font=self.font,
            anchor="ls",
            direction=self.direction,
            language=self.language,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text: runs from left to right."""

    runs: tuple[Run, ...]

    def width(self) -> float:
        """In pixels."""
        return sum(run.width() for run in self.runs)

    def ink(self) -> tuple[float, float]:
        """Top and bottom of the line's ink, in pixels below the baseline."""
        extents = [run.ink() for run in self.runs]
        return min((top for top, _ in extents), default=0), max((bottom for _, bottom in extents), default=0)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, baseline: float, colour: tuple[int, int, int]) -> None:
        """Draws the line with its left end at x."""
        for run in self.runs:
            run.draw(canvas, x, baseline, colour)
            x += run.width()


def line_of(text: str, size: int) -> Line:
    """Lays a text out on one line.

    Args:
        text: as `drawable` returns it.
        size: of the font, in pixels.
    """
    shapes = can_shape()
    language = _language(text) if shapes else None
    return Line(
        tuple(
            Run(piece.text, _font(piece.font, size), piece.direction if shapes else None, language)
            for piece in _visual_order(list(_pieces(text)), _base_direction(text))
        )
    )


def drawable(text: str) -> str:
    r"""What of a text can be drawn on one line.

    Characters that no font has become escapes such as ``\u13a0``, never empty boxes, and so do those of scripts that
    need shaping where Pillow cannot shape; a warning says what to install. White space becomes single spaces, invisible
    controls are dropped, and letters and their marks are composed (NFC).
    """
    kept = (
        character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf")
    )
    clusters = list(clusters_of(" ".join("".join(kept).split())))
    without_font = [cluster for cluster in clusters if find_font(cluster) is None]
    without_shaper = [] if can_shape() else [cluster for cluster in clusters if _needs_shaping(cluster)]
    if without_font:
        warnings.warn(
            f"no font has all characters of {text!r}: the rest is drawn as escapes. "
            "pip install 'toonface[fonts]', or install a system font for it, such as Noto's",
            stacklevel=2,
        )
    if without_shaper:
        warnings.warn(
            f"the script of {text!r} needs shaping, for which Pillow finds no FriBiDi: it is drawn as escapes. "
            "Install it, as with apt install libfribidi0",
            stacklevel=2,
        )
    lacking = {*without_font, *without_shaper}
    return "".join(
        cluster.encode("ascii", "backslashreplace").decode() if cluster in lacking else cluster for cluster in clusters
    )


def clusters_of(text: str) -> Iterator[str]:
    """Letters with the marks that belong to them (most of Unicode's grapheme clusters; enough to choose fonts by)."""
    cluster = ""
    for character in text:
        joins = unicodedata.category(character).startswith("M") or character in _JOINERS
        if cluster and not joins and not cluster.endswith("\u200d"):
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


@lru_cache(maxsize=256)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels, with shaping where Pillow can shape."""
    font = ImageFont.truetype(path, size)
    try:
        axes = font.get_variation_axes()
    except OSError:
        return font  # Not a variable font: it has one weight.
    # Some variable fonts start at their thinnest.
    font.set_variation_by_axes([_WEIGHT if _is_weight(axis["name"]) else axis["default"] or 0 for axis in axes])
    return font


def _is_weight(name: bytes | None) -> bool:
    return name is not None and name.lower() in (b"weight", b"wght")


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    font: Path
    direction: Direction


def _needs_shaping(cluster: str) -> bool:
    return any(low <= ord(character) <= high for character in cluster for low, high in _SHAPED)


def _font_for(text: str) -> Path:
    path = find_font(text)
    if path is None:
        raise ConfigError("there is no font to draw with: pip install fontpkg-noto-sans")
    return path


def _pieces(text: str) -> Iterator[_Piece]:
    """The text in logical order, cut where the font or the direction changes; one piece where one font has it all."""
    base = _base_direction(text)
    whole = find_font(text)
    if whole is not None:
        # The shaping engine orders mixed directions itself.
        yield _Piece(text, whole, base)
        return
    piece: _Piece | None = None
    for cluster, direction in _directed(text, base):
        if piece is not None and piece.direction == direction and covers(piece.font, cluster):
            piece = _Piece(piece.text + cluster, piece.font, direction)
            continue
        if piece is not None:
            yield piece
        piece = _Piece(cluster, _font_for(cluster), direction)
    if piece is not None:
        yield piece


def _base_direction(text: str) -> Direction:
    """Direction of the first letter that has one (rule P2 of the Unicode bidirectional algorithm)."""
    return next((direction for direction in map(_direction, text) if direction), "ltr")


def _directed(text: str, base: Direction) -> Iterator[tuple[str, Direction]]:
    """Clusters with their direction.

    Those without one of their own follow their neighbours if these agree, else the line. A short form of the Unicode
    bidirectional algorithm (rules N1 and N2), without embeddings: a name has none.
    """
    clusters = list(clusters_of(text))
    own = [_direction(cluster[0]) for cluster in clusters]
    before = base
    for index, cluster in enumerate(clusters):
        after = next((direction for direction in own[index:] if direction), base)
        before = own[index] or (before if before == after else base)
        yield cluster, before


def _direction(character: str) -> Direction | None:
    kind = unicodedata.bidirectional(character)
    if kind in ("R", "AL"):
        return "rtl"
    return "ltr" if kind in ("L", "EN", "AN") else None


def _visual_order(pieces: list[_Piece], base: Direction) -> list[_Piece]:
    """The pieces from left to right: those against the line's direction keep their own order among themselves."""
    groups: list[list[_Piece]] = []
    for piece in pieces:
        if groups and groups[-1][0].direction == piece.direction:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    if base == "rtl":
        groups.reverse()
    return [piece for group in groups for piece in (group[::-1] if group[0].direction == "rtl" else group)]


def _language(text: str) -> str | None:
    """Which language's forms of the shared Han characters to draw."""
    if any("\u3040" <= character <= "\u30ff" for character in text):
        return "ja"
    if any("\uac00" <= character <= "\ud7a3" for character in text):
        return "ko"
    return "zh-hans" if any("\u4e00" <= character <= "\u9fff" for character in text) else None
