"""PaddleX's list of gallery pictures: a file of lines `path label`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toonface_contract.admin import Label
from toonface_contract.errors import ConfigError

_LABEL = TypeAdapter(Label)


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """One line of a list.

    Attributes:
        path: of the picture; relative ones are resolved against the list's folder.
        label: whose face it is.
        source: the path as the list gives it.
        place: file and line number, for messages.
    """

    path: Path
    label: str
    source: str
    place: str


def read_gallery_list(file: Path) -> list[ListedPicture]:
    """Reads a list.

    The first space of a line parts path from label, so labels may hold spaces; PaddleX refuses those, and so reads
    every list that it can read in the same way. A tab, where there is one, parts them instead, for paths with spaces.
    Empty lines are passed over.

    Raises:
        ConfigError: the file cannot be read, a line is malformed, or there are no lines; the message names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the gallery list {str(file)!r}: {error}") from error
    pictures = [
        _parse(line, file, f"{file}, line {number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    if not pictures:
        raise ConfigError(f"the gallery list {str(file)!r} has no lines; each is `path label`")
    return pictures


def _parse(line: str, file: Path, place: str) -> ListedPicture:
    source, separator, label = line.strip().partition("\t" if "\t" in line.strip() else " ")
    if not separator:
        raise ConfigError(
            f"{place}: {line.strip()!r} has no label; a line is `path label`, parted by one space or a tab"
        )
    try:
        label = _LABEL.validate_python(label)
    except ValidationError as error:
        raise ConfigError(f"{place}: the label {label!r} is not allowed: {error.errors()[0]['msg']}") from None
    return ListedPicture(file.parent / source, label, source, place)
