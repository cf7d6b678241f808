"""The report's page: one HTML file and its pictures, in a folder of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from toonface_contract.errors import ConfigError

PAGE = "index.html"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 1rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
tr + tr { border-top: 1px solid #eee; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 1rem 1rem 1rem 0; max-width: 100%; } figure img { max-width: 100%; }
figcaption, .note { color: #555; }
"""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of the report.

    Attributes:
        name: of its file, without the suffix.
        image: a plot, or pixels.
        caption: what it shows.
    """

    name: str
    image: Figure | Image.Image
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the report.

    Attributes:
        title: its heading.
        rows: name, figure, and what it rests on.
        note: a sentence below the heading.
        pictures: plots and contact sheets.
    """

    title: str
    rows: Sequence[tuple[str, str, str]] = ()
    note: str = ""
    pictures: Sequence[Picture] = field(default_factory=list)


def write_report(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page and its pictures.

    Args:
        folder: made if need be; files of the same names are replaced.
        title: of the page.
        sections: its parts.

    Returns:
        The page's path.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            for picture in section.pictures:
                path = folder / f"{picture.name}.png"
                if isinstance(picture.image, Figure):
                    picture.image.savefig(path)
                else:
                    picture.image.save(path, optimize=True)
        page = folder / PAGE
        page.write_text(_page(title, sections), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write the report to {str(folder)!r}: {error.strerror or error}") from error
    return page


def _page(title: str, sections: Sequence[Section]) -> str:
    body = "".join(_section(section) for section in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}</body></html>\n"
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>\n"]
    if section.note:
        parts.append(f'<p class="note">{escape(section.note)}</p>\n')
    if section.rows:
        rows = "".join(
            f'<tr><td>{escape(name)}</td><td class="number">{escape(value)}</td>'
            f'<td class="note">{escape(basis)}</td></tr>\n'
            for name, value, basis in section.rows
        )
        parts.append(f"<table>{rows}</table>\n")
    parts += [
        f'<figure><img src="{escape(picture.name)}.png" alt="{escape(picture.caption or picture.name)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>\n"
        for picture in section.pictures
    ]
    return "".join(parts)
