"""Writes COCO files with an entry a line, and reads any, with the line on which each of its entries starts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from toonface_training.dataset.problems import Problem

LISTS = ("images", "annotations", "categories")

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class CocoFile:
    """A COCO file as it stands.

    Attributes:
        path: of the file.
        content: all of it; `LISTS` are lists of objects in it.
        lines: for each of `LISTS`, the line of each entry, counted from 1.
    """

    path: Path
    content: dict[str, Any]
    lines: dict[str, list[int]] = field(default_factory=dict)

    def entries(self, name: str) -> list[tuple[dict[str, Any], int]]:
        """The entries of one of `LISTS`, each with its line."""
        return list(zip(self.content[name], self.lines[name], strict=True))


def read_coco(path: Path, problems: list[Problem]) -> CocoFile | None:
    """Read a COCO file; what keeps it from being one is added to `problems`, and None is returned."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        problems.append(Problem(path, None, reason))
        return None
    try:
        content, lines = _parse(text)
    except json.JSONDecodeError as error:
        problems.append(Problem(path, error.lineno, f"is not JSON: {error.msg}"))
        return None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        problems.append(Problem(path, None, f"cannot be read: {error}"))
        return None
    found = len(problems)
    for name in LISTS:
        if not isinstance(content.get(name), list):
            problems.append(Problem(path, None, f"has no list `{name}`; a COCO file has {', '.join(LISTS)}"))
            continue
        for entry, line in zip(content[name], lines[name], strict=True):
            if not isinstance(entry, dict):
                problems.append(Problem(path, line, f"an entry of `{name}` is {json.dumps(entry)}, not an object"))
    return CocoFile(path, content, lines) if len(problems) == found else None


def category_names(file: CocoFile, problems: list[Problem]) -> dict[int, str]:
    """Names of the categories by id; what is wrong with them is added to `problems`."""
    names: dict[int, str] = {}
    for category, line in file.entries("categories"):
        number, name = category.get("id"), category.get("name")
        if not is_whole(number) or not isinstance(name, str) or not name:
            problems.append(Problem(file.path, line, "a category needs a whole number `id` and a `name`"))
        elif number in names:
            problems.append(Problem(file.path, line, f"category id {number} is there twice"))
        else:
            names[number] = name
    if not file.content["categories"]:
        problems.append(Problem(file.path, None, "has no category; name what is in the boxes, such as `face`"))
    return names


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number, and written as one."""
    return isinstance(value, int) and not isinstance(value, bool)


def coco_text(content: dict[str, Any]) -> str:
    """A COCO file as JSON, one image or annotation a line, so that a checker can name the line."""
    parts = []
    for key, entries in content.items():
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
    return "{" + ",\n".join(parts) + "}\n"


def _parse(text: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The object that a text holds, and the lines on which the entries of its lists start."""
    content: dict[str, Any] = {}
    lines: dict[str, list[int]] = {}
    at = _expect(text, 0, "{")
    counter = _LineCounter(text)
    while not text.startswith("}", at):
        if content:
            at = _expect(text, at, ",")
        key, at = _DECODER.raw_decode(text, at)
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting a name in quotes", text, at)
        at = _expect(text, at, ":")
        if text.startswith("[", at):
            content[key], lines[key], at = _parse_list(text, at, counter)
        else:
            content[key], at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
    if _skip(text, at + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)
    return content, lines


def _parse_list(text: str, at: int, counter: _LineCounter) -> tuple[list[Any], list[int], int]:
    entries: list[Any] = []
    lines: list[int] = []
    at = _expect(text, at, "[")
    while not text.startswith("]", at):
        if entries:
            at = _expect(text, at, ",")
        lines.append(counter.line_of(at))
        entry, at = _DECODER.raw_decode(text, at)
        entries.append(entry)
        at = _skip(text, at)
    return entries, lines, _skip(text, at + 1)


class _LineCounter:
    """Lines of places that only ever go forward, so that a long text is counted once."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1

    def line_of(self, at: int) -> int:
        self._line += self._text.count("\n", self._at, at)
        self._at = at
        return self._line


def _expect(text: str, at: int, mark: str) -> int:
    """The place of what follows a punctuation mark."""
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise json.JSONDecodeError(f"Expecting '{mark}'", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
