"""A temporary folder, and what is said where there is no room for one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toonface_contract.errors import ExportError


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards, in TMPDIR where that is set.

    Raises:
        ExportError: a file could not be written, because the disk is full or the folder is not ours to write to.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="toonface-") as folder:
            yield Path(folder)
    except OSError as error:
        raise no_room(error) from error


def lasting_scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder that is gone when what is returned is, in TMPDIR where that is set.

    Raises:
        ExportError: it cannot be made, because the disk is full or the folder is not ours to write to.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="toonface-")
    except OSError as error:
        raise no_room(error) from error


def no_room(error: OSError) -> ExportError:
    """What to say where a temporary file could not be written."""
    # None where every folder was tried in vain; the error then names them all. Asking for it would try them again.
    where = tempfile.tempdir or "one of these folders"
    return ExportError(
        f"a temporary file cannot be written ({error}); make room in {where}, or let TMPDIR name another folder"
    )
