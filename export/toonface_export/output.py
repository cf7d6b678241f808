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

# What a folder is that holds the one manifest or the other.
_KINDS = {MANIFEST: "a whole repository", MODEL_MANIFEST: "one exported model"}


def check_output(output: Path, manifest: str, force: bool) -> None:
    """Refuse to replace what is no earlier export of the same kind, and to change a repository from within.

    Whether the folder can be written at all is tried too, so that it is known before any work is done.

    Args:
        output: the folder to write.
        manifest: name of the manifest that will be in it: `MANIFEST` or `MODEL_MANIFEST`.
        force: replace any folder.

    Raises:
        ExportError: naming the folder.
    """
    try:
        if output.exists() and not output.is_dir():
            raise ExportError(f"output {output} is not a folder; name one that is, or that is not there yet")
        if not force:
            _check_replaced(output, manifest)
        _try(output)
    except (OSError, RuntimeError) as error:  # the latter is pathlib's word for links that lead in a circle
        raise ExportError(
            f"output {output} cannot be written ({error}); name a folder in a place that you may write to"
        ) from error


def _check_replaced(output: Path, manifest: str) -> None:
    for folder in output.resolve().parents:
        if (folder / MANIFEST).is_file():
            raise ExportError(
                f"output {output} is in the repository {folder}, whose {MANIFEST} holds the digest of each file in it; "
                f"name a folder outside of it, or export a whole pipeline to {folder}"
            )
    if not output.exists() or not any(output.iterdir()) or (output / manifest).is_file():
        return
    what = f"a folder that `toonface export` did not write (it holds no {manifest})"
    for name, kind in _KINDS.items():
        if (output / name).is_file():
            what = f"{kind} (it holds {name}), not {_KINDS[manifest]}"
    raise ExportError(f"output {output} is {what}; name another, or give --force to replace it with all that is in it")


def _try(output: Path) -> None:
    """Whether a folder can take this place: see `assembled`."""
    _must_be_free(output)
    there = next(folder for folder in output.resolve().parents if folder.exists())
    Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=there)).rmdir()


def _must_be_free(output: Path) -> None:
    if output.resolve().is_mount():  # of a link, what it leads to
        raise ExportError(
            f"{output} is a mount point, whose place no other folder can take; name a folder in it, or mount the one "
            "above it"
        )


@contextmanager
def assembled(output: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """An empty folder to write into, beside `output`, whose place it takes at the end.

    Writing that fails or is interrupted leaves what stood there as it was. What cannot be removed afterwards, such as
    files of another user in the old folder, is told as progress, and changes nothing of what was written.

    Raises:
        ExportError: the disk is full, or the folder cannot be written.
    """
    _must_be_free(output)
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
