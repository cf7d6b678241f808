"""Where results go: tried before the work, and written so that nothing is half there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from toonface_contract.errors import ConfigError
from toonface_training.whole_files import write_atomically


def must_be_writable(folder: Path) -> None:
    """Make a folder, and find out whether files can be written there, before long work is done for it.

    Raises:
        ConfigError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to {str(folder)!r}: {error.strerror or error}") from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8; one of that name is replaced at once, when the new one is complete.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        write_atomically(path, text)
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
