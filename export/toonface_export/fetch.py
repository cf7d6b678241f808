"""Get what PaddleX publishes, by name: once, whole, and the same ever after."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toonface_contract.errors import FetchError
from toonface_export.fetch_archive import unpack
from toonface_export.fetch_catalogue import PADDLEX_ADDRESS, Item, find_item
from toonface_export.fetch_download import Patience, Received, download
from toonface_export.fetch_lock import LOCK_FILE, Lock, Locked, content_digest, read_lock, write_lock
from toonface_export.paddle_model import sha256_of
from toonface_export.swap import replace_folder

MIRROR_ENV = "TOONFACE_MIRROR"
CACHE_ENV = "TOONFACE_CACHE"


@dataclass(frozen=True)
class Place:
    """Where things come from and go to.

    Attributes:
        folder: everything fetched stands in it, by name.
        lock_file: what was fetched first, and is held to.
        address: of PaddleX's store or a mirror of it, without a final `/`.
        patience: with the server.
    """

    folder: Path
    lock_file: Path
    address: str = PADDLEX_ADDRESS
    patience: Patience = Patience()


@dataclass(frozen=True)
class Fetched:
    """What came of one item.

    Attributes:
        item: that was asked for.
        path: of the file or folder.
        locked: what it is.
        new: whether it was fetched now, and not here before.
    """

    item: Item
    path: Path
    locked: Locked
    new: bool


def default_folder() -> Path:
    """Where things are kept that were not asked to be elsewhere: $TOONFACE_CACHE, or the user's cache folder."""
    given = os.environ.get(CACHE_ENV)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toonface"


def make_place(folder: Path | None = None, lock_file: Path | None = None, mirror: str | None = None) -> Place:
    """A place with everything that is not given at its default.

    Args:
        folder: default: `default_folder()`.
        lock_file: default: `LOCK_FILE` in the folder.
        mirror: default: $TOONFACE_MIRROR, or PaddleX's own address.

    Raises:
        FetchError: the mirror is no address of http or https.
    """
    folder = folder or default_folder()
    address = (mirror or os.environ.get(MIRROR_ENV) or PADDLEX_ADDRESS).rstrip("/")
    if not address.startswith(("https://", "http://")):
        raise FetchError(f"mirror {address!r} is no address; it must begin with https:// or http://")
    return Place(folder, lock_file or folder / LOCK_FILE, address)


def official_model(name: str, received: Received = lambda size, total: None) -> Path:
    """The folder of PaddleX's official inference model of this name, fetched into the cache if it is not there.

    Args:
        name: of the model.
        received: is told of progress.

    Raises:
        FetchError: it is not known, or cannot be fetched.
    """
    return fetch_item(find_item(f"{name}_infer"), make_place(), received).path


def fetch_item(
    item: Item, place: Place, received: Received = lambda size, total: None, *, renew: bool = False
) -> Fetched:
    """Make sure that an item is in its place, as it was when it was first fetched.

    The first time, its SHA-256 is written into the lock file. What is here already is held against that, and so is what
    comes later, from whichever mirror. It takes its place in one step, once it is whole. Processes that fetch into one
    folder wait for each other, and those that write one lock file.

    Args:
        item: from `toonface_export.fetch_catalogue`.
        place: where it comes from and goes to.
        received: is told of progress.
        renew: fetch it anew, whatever is here and in the lock file, and write down what came.

    Raises:
        FetchError: it cannot be fetched, cannot be unpacked safely, or is not what it was; nothing is replaced then.
    """
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        with _alone(place.folder / ".fetching"):
            return _fetch(item, place, received, renew)
    except OSError as error:
        raise FetchError(f"{item.name} cannot be kept in {place.folder}: {error}") from error


def _fetch(item: Item, place: Place, received: Received, renew: bool) -> Fetched:
    target = place.folder / item.name
    locked = read_lock(place.lock_file).items.get(item.path)
    if target.exists() and not renew:
        return Fetched(item, target, _held(target, locked, place), new=False)
    part = place.folder / f".{item.name}.part"
    download(f"{place.address}/{item.path}", part, received, place.patience)
    place.lock_file.parent.mkdir(parents=True, exist_ok=True)
    # The lock file may be shared with other folders, and others may have written into it meanwhile.
    with _alone(place.lock_file.with_name(f".{place.lock_file.name}.writing")):
        return Fetched(item, target, _accepted(item, part, target, place, renew), new=True)


def _accepted(item: Item, part: Path, target: Path, place: Place, renew: bool) -> Locked:
    """Put what came in its place, if it is what the lock file holds, or the first."""
    lock = read_lock(place.lock_file)
    locked = lock.items.get(item.path)
    digest = sha256_of(part)
    if locked is not None and digest != locked.sha256 and not renew:
        part.unlink()
        raise FetchError(
            f"{place.address}/{item.path} is not what it was: its SHA-256 is {digest}, and {place.lock_file} holds "
            f"{locked.sha256}; give --renew to take what is there now",
            code="fetch_changed",
        )
    return _put(item, part, digest, target, place, lock)


def _held(target: Path, locked: Locked | None, place: Place) -> Locked:
    """The lock's entry for what is here already; refused if the two do not agree."""
    remedy = "remove it to fetch it again, or give --renew"
    if locked is None:
        raise FetchError(f"{target} is here, but {place.lock_file} does not say what it should be; {remedy}")
    if content_digest(target) != locked.content:
        raise FetchError(f"{target} was changed since it was fetched; {remedy}", code="fetch_changed")
    return locked


def _put(item: Item, part: Path, digest: str, target: Path, place: Place, lock: Lock) -> Locked:
    """Unpack what came, write down what it is, and put it in its place."""
    try:
        # What cannot be removed afterwards does not undo what was fetched.
        with tempfile.TemporaryDirectory(
            prefix=f".{item.name}.", dir=place.folder, ignore_cleanup_errors=True
        ) as scratch:
            whole = Path(scratch) / "whole"
            whole.mkdir()
            ready = unpack(part, whole) if item.archived else part
            locked = Locked(size=part.stat().st_size, sha256=digest, content=content_digest(ready))
            write_lock(place.lock_file, lock.with_item(item.path, locked))
            if item.archived:
                replace_folder(ready, target)
            else:
                ready.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return locked


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While this runs, no other process does what it does with the same path, that of an empty file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
