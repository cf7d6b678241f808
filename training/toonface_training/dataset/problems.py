"""What is wrong with a data set, by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toonface_contract.errors import ConfigError

INVALID_DATASET = "invalid_dataset"
_NAMED_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: where it stands.
        line: counted from 1; None where it concerns the file as a whole.
        text: what is wrong, and what is allowed.
    """

    file: Path
    line: int | None
    text: str

    def __str__(self) -> str:
        """`file:line: text`, as compilers write it."""
        where = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.text}"


def named(problems: Sequence[Problem], line_end: str = "\n") -> str:
    """The first twenty problems, and how many more there are."""
    lines = [str(problem) for problem in problems[:_NAMED_AT_MOST]]
    if len(problems) > _NAMED_AT_MOST:
        lines.append(f"and {len(problems) - _NAMED_AT_MOST} more")
    return line_end.join(lines)


def refuse_if_any(problems: Sequence[Problem]) -> None:
    """Raises a `ConfigError` with the code `invalid_dataset` that names the problems, if there are any."""
    if problems:
        raise ConfigError(named(problems, "; "), code=INVALID_DATASET)


@contextmanager
def system_errors_refused(what: str) -> Iterator[None]:
    """Makes a `ConfigError` of what the operating system refuses: a read-only folder, a full disk.

    Args:
        what: could not be done, such as `cannot divide my_faces`.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
        raise ConfigError(f"{what}: {reason}") from error
