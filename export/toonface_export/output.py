"""A folder that is put together aside, and takes its place when it is whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toonface_contract.errors import ExportError
from toonface_export.digests import MANIFEST, MODEL_MANIFEST
from toonface_export.swap import replace_folder


def check_output(output: Path, force: bool) -> None:
    """Refuse to replace what is no earlier export.

    Args:
        output: the folder to write.
        force: replace any folder.

    Raises:
        ExportError: naming the folder.
    """
    if not output.exists():
        return
    if not output.is_dir():
        raise ExportError(f"output {output} is not a folder; name one that is, or that is not there yet")
    written = (output / MANIFEST).is_file() or (output / MODEL_MANIFEST).is_file()
    if not force and any(output.iterdir()) and not written:
        raise ExportError(
            f"output {output} is a folder that `toonface export` did not write (it holds no {MANIFEST}); "
            "name another, or give --force to replace it with all that is in it"
        )


@contextmanager
def assembled(output: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """An empty folder to write into, beside `output`, whose place it takes at the end.

    Writing that fails or is interrupted leaves what stood there as it was. What cannot be removed afterwards, such as
    files of another user in the old folder, is told as progress, and changes nothing of what was written.

    Raises:
        ExportError: the disk is full, or the folder cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        try:
            folder = scratch / "new"
            folder.mkdir()
            yield folder
            progress(f"put it in its place, {output}")
            replace_folder(folder, output)
        finally:
            _remove(scratch, progress)
    except OSError as error:
        raise ExportError(f"{output} cannot be written ({error}); what stood there is as it was") from error


def _remove(scratch: Path, progress: Callable[[str], None]) -> None:
    try:
        shutil.rmtree(scratch)
    except OSError as error:
        progress(f"note: {scratch} is left over, and yours to remove: {error}")
