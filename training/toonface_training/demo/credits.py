"""Who drew the styles that the demo's pictures are made of, and under which licence."""

from __future__ import annotations

from collections.abc import Iterable

from toonface_training.cartoon.credits import credits_table

_HEAD = """\
# Credits

The characters and backgrounds of the demo are drawn with [DiceBear](https://www.dicebear.com) from these styles. Parts
and colours were combined by lot; the faces were scaled, turned, mirrored, lit and put together into pictures.

"""


def credits_page(styles: Iterable[str]) -> str:
    """A Markdown page that names each style's artist, source and licence."""
    return _HEAD + credits_table(styles)
