"""Who drew the styles that the demo's pictures are made of, and under which licence."""

from __future__ import annotations

from collections.abc import Iterable

from toonface_training.cartoon.styles import definition

_HEAD = """\
# Credits

The characters and backgrounds of the demo are drawn with [DiceBear](https://www.dicebear.com) from these styles. Parts
and colours were combined by lot; the faces were scaled, turned, mirrored, lit and put together into pictures.

| style | artist | source | licence |
| --- | --- | --- | --- |
"""


def credits_page(styles: Iterable[str]) -> str:
    """A Markdown page that names each style's artist, source and licence, from the styles' own definitions."""
    return _HEAD + "".join(_row(style) for style in sorted(styles))


def _row(style: str) -> str:
    meta = definition(style)["meta"]
    artist, source, licence = (f"[{meta[key]['name']}]({meta[key]['url']})" for key in ("creator", "source", "license"))
    return f"| {style} | {artist} | {source} | {licence} |\n"
