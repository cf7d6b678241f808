"""Who drew the styles, and under which licence."""

from __future__ import annotations

from collections.abc import Iterable

from toonface_training.cartoon.styles import definition

_HEAD = """\
| style | artist | source | licence |
| --- | --- | --- | --- |
"""


def credits_table(styles: Iterable[str]) -> str:
    """A Markdown table of each style's artist, source and licence, from the styles' own definitions."""
    return _HEAD + "".join(_row(style) for style in sorted(styles))


def _row(style: str) -> str:
    meta = definition(style)["meta"]
    artist, source, licence = (f"[{meta[key]['name']}]({meta[key]['url']})" for key in ("creator", "source", "license"))
    return f"| {style} | {artist} | {source} | {licence} |\n"
