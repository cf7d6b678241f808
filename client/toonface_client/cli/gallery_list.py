"""Lists in files: PaddleX's of gallery pictures, lines of `path label`, and lists of ids, labels and corrections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toonface_contract.admin import FaceId, Label
from toonface_contract.errors import ConfigError

_LABEL = TypeAdapter(Label)
_ID = TypeAdapter(FaceId)


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
    return [_parse(line, file, place) for line, place in _lines(file, "gallery list")]


def read_ids(file: Path) -> list[int]:
    """Reads a list of face ids, one a line, as PaddleX's remove_ids.txt; empty lines are passed over.

    Raises:
        ConfigError: the file cannot be read, or a line is no id; the message names the line.
    """
    return [_id(text, place) for text, place in _lines(file, "list of ids")]


def read_labels(file: Path) -> list[str]:
    """Reads a list of labels, one a line; empty lines are passed over.

    Raises:
        ConfigError: the file cannot be read, or a line is no label; the message names the line.
    """
    return [_label(text, place) for text, place in _lines(file, "list of labels")]


def read_corrections(file: Path) -> list[tuple[int, str]]:
    """Reads a list of ids and new labels, lines of `id label`; the first space or tab parts them.

    Raises:
        ConfigError: the file cannot be read, or a line is malformed; the message names the line.
    """
    corrections = []
    for text, place in _lines(file, "list of corrections"):
        number, *rest = text.split(maxsplit=1)
        if not rest:
            raise ConfigError(f"{place}: {text!r} has no label; a line is `id label`")
        corrections.append((_id(number, place), _label(rest[0], place)))
    return corrections


def _lines(file: Path, what: str) -> list[tuple[str, str]]:
    """The lines of a file that are not empty, and their places for messages."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {what} {str(file)!r}: {error}") from error
    lines = [(line.strip(), f"{file}, line {number}") for number, line in enumerate(text.splitlines(), 1)]
    found = [(line, place) for line, place in lines if line]
    if not found:
        raise ConfigError(f"the {what} {str(file)!r} has no lines")
    return found


def _id(text: str, place: str) -> int:
    try:
        return _ID.validate_python(text)
    except ValidationError:
        raise ConfigError(f"{place}: {text!r} is no face's id, which is a whole number from 1 on") from None


def _label(text: str, place: str) -> str:
    try:
        return _LABEL.validate_python(text)
    except ValidationError as error:
        raise ConfigError(f"{place}: the label {text!r} is not allowed: {error.errors()[0]['msg']}") from None


def _parse(line: str, file: Path, place: str) -> ListedPicture:
    source, separator, label = line.partition("\t" if "\t" in line else " ")
    if not separator:
        raise ConfigError(f"{place}: {line!r} has no label; a line is `path label`, parted by one space or a tab")
    return ListedPicture(file.parent / source, _label(label, place), source, place)
