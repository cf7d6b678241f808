"""What a check looks at in pictures, and the sample pictures and the histogram that it leaves behind."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from toonface_training.dataset.problems import Problem

SAMPLES = 10
_EXIF_ORIENTATION = 0x0112
_COLOUR = (255, 0, 0)
# Orientations that exchange width and height (EXIF 2.32, 4.6.4).
_LYING = (5, 6, 7, 8)
# What Pillow raises on damaged pictures, and on names that no file can have.
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
# Samples keep their names; those that are called otherwise become PNGs.
_WRITABLE = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def upright_size(path: Path) -> tuple[int, int] | str:
    """Width and height of a picture as it is seen, EXIF orientation applied; or why it is no picture.

    Only the head of the file is read.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            lying = picture.getexif().get(_EXIF_ORIENTATION) in _LYING
    except FileNotFoundError:
        return "is not there"
    except _UNREADABLE as error:
        return _reason(error)
    return (height, width) if lying else (width, height)


def undecodable(pictures: Iterable[tuple[Path, int]], file: Path, called: str) -> list[Problem]:
    """Those of some pictures, whose heads may be sound, that cannot be decoded to their ends.

    Args:
        pictures: each with the line of `file` that names it.
        file: where they are named.
        called: what a picture is there, such as `image`.
    """
    problems = []
    for picture, line in pictures:
        try:
            _decoded(picture)
        except _UNREADABLE as error:
            problems.append(Problem(file, line, f"{called} {picture} {_reason(error)}"))
    return problems


class SamplePictures:
    """A few pictures with boxes or a label drawn in, as PaddleX leaves them in `check_dataset/demo_img`."""

    def __init__(self, output: Path) -> None:
        """`output` is the folder that `check_dataset/` shall be in."""
        self._output = output
        self._taken: set[str] = set()

    def add(self, path: Path, boxes: Sequence[Sequence[float]] = (), label: str = "") -> str:
        """Draw one; returns its path below the output folder.

        Args:
            path: of the picture.
            boxes: x, y, width, height in pixels.
            label: written into the corner.
        """
        suffix = path.suffix if path.suffix.lower() in _WRITABLE else ".png"
        name, number = path.stem + suffix, 1
        while name in self._taken:
            number += 1
            name = f"{path.stem}_{number}{suffix}"
        self._taken.add(name)
        picture = _decoded(path)
        drawing = ImageDraw.Draw(picture)
        for x, y, width, height in boxes:
            drawing.rectangle((x, y, x + width, y + height), outline=_COLOUR, width=max(max(picture.size) // 200, 1))
        if label:
            drawing.text((2, 2), label, fill=_COLOUR)
        below = Path("check_dataset", "demo_img", name)
        (self._output / below).parent.mkdir(parents=True, exist_ok=True)
        picture.save(self._output / below)
        return below.as_posix()


def histogram(counts: Mapping[str, Mapping[str, int]], output: Path) -> str:
    """Draw how many annotations each category has, most in the training set first.

    Args:
        counts: by split, by category, how many.
        output: the folder that `check_dataset/` shall be in.

    Returns:
        The plot's path below `output`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(counts.values()))
    categories = sorted(first, key=lambda category: -first[category])
    figure = Figure(figsize=(max(8.0, len(categories) / 5), 5), dpi=120, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(counts)
    for number, (split, by_category) in enumerate(counts.items()):
        places = [place + number * width for place in range(len(categories))]
        axes.bar(places, [by_category.get(category, 0) for category in categories], width, label=split)
    axes.set_xticks([place + width * (len(counts) - 1) / 2 for place in range(len(categories))])
    axes.set_xticklabels(categories, rotation=90 if len(categories) > 5 else 0)
    axes.set_ylabel("annotations")
    axes.legend()
    below = Path("check_dataset", "histogram.png")
    (output / below).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / below)
    return below.as_posix()


def _decoded(path: Path) -> Image.Image:
    """A picture as it is seen, in RGB."""
    with Image.open(path) as stored:
        return ImageOps.exif_transpose(stored).convert("RGB")


def _reason(error: Exception) -> str:
    return f"is not a picture that can be read: {' '.join(str(error).split())}"
