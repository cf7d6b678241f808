"""One file over HTTP, taken up again where an earlier attempt broke off."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from toonface_contract.errors import FetchError

Received = Callable[[int, int | None], None]
"""Is told the bytes that are here so far, and all that will come, if the server says so."""

# No file is taken that is larger. PaddleX's largest here is far below 1 GB.
MAX_BYTES = 8 * 2**30

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How long a download is tried.

    Attributes:
        attempts: requests in a row that bring nothing before it is given up.
        pause: seconds before the second attempt; doubles with each one.
        timeout: seconds for a connection, and between two pieces of an answer.
    """

    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0


class _Again(Exception):
    """The attempt failed in a way that another may not."""


def download(url: str, path: Path, received: Received, patience: Patience = Patience()) -> None:
    """Fetch `url` into the file `path`, which is there, whole, when this returns.

    What has come stays in `path` when a download is interrupted, beside a note of what the server called that version
    (`<path>.json`). The next call asks for the rest of that very version (`Range` with `If-Range`), and begins anew if
    the server has another one by then, or cannot say.

    Raises:
        FetchError: `url` is none, the server refuses, cannot be reached, or sends more or less than it said; or the
            proxy cannot be used.
    """
    part = _Part(path)
    failures, here = 0, part.size
    with _client(patience.timeout) as client:
        while True:
            try:
                _attempt(client, url, part, received)
            except (httpx.TransportError, _Again) as error:
                # A broken connection that brought something is no failure: the next one takes it up from there.
                failures = 1 if part.size > here else failures + 1
                here = part.size
                if failures >= patience.attempts:
                    raise FetchError(f"{url} cannot be fetched: {error or type(error).__name__}") from error
                time.sleep(patience.pause * 2 ** (failures - 1))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise FetchError(f"{url} cannot be fetched: {error}") from error
            else:
                part.forget()
                return


def _client(timeout: float) -> httpx.Client:
    """A client that goes through the proxies of the environment."""
    try:
        return httpx.Client(timeout=timeout, follow_redirects=True)
    except ImportError as error:
        raise FetchError(
            "the environment asks for a SOCKS proxy, which needs a package that is not installed: "
            "pip install 'httpx[socks]'"
        ) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError(
            f"the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used: {error}; it must be an address of "
            "http, https or socks5"
        ) from error


def _attempt(client: httpx.Client, url: str, part: _Part, received: Received) -> None:
    headers = {"Accept-Encoding": "identity"} | part.conditions()
    with client.stream("GET", url, headers=headers) as response:
        _check_status(response, url, part)
        start, total = _extent(response, part)
        if total is not None:
            _check_room(url, part.path, total, total - start)
        with part.write_from(start, response, total) as file:
            received(start, total)
            for piece in response.iter_raw():
                file.write(piece)
                received(file.tell(), total)
                if file.tell() > MAX_BYTES:
                    raise FetchError(f"{url} is larger than {MAX_BYTES} bytes, the most that is taken")
    if total is not None and part.size != total:
        size = part.size
        part.discard()
        raise _Again(f"{size} bytes came, and the server had said {total}")


def _check_status(response: httpx.Response, url: str, part: _Part) -> None:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.discard()
        raise _Again(f"the server answers {status}")
    if response.status_code in _BUSY:
        raise _Again(f"the server answers {status}")
    if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise FetchError(f"{url} cannot be fetched: the server answers {status}")


def _extent(response: httpx.Response, part: _Part) -> tuple[int, int | None]:
    """Where the answer begins in the file, and the file's size, if the server says so."""
    if response.status_code == httpx.codes.OK:
        length = response.headers.get("content-length", "")
        return 0, int(length) if length.isdecimal() else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    start, total = map(int, found.groups()) if found else (-1, -1)
    if start != part.size or total != part.total or _version(response) != part.version:
        part.discard()
        raise _Again("the server sent another part of the file, or of another version, than it was asked for")
    return start, total


def _check_room(url: str, path: Path, total: int, missing: int) -> None:
    if total > MAX_BYTES:
        raise FetchError(f"{url} has {total} bytes; at most {MAX_BYTES} are taken")
    free = shutil.disk_usage(path.parent).free
    if missing > free:
        raise FetchError(f"{path.parent} has {free} bytes free, and {url} needs {missing} more")


def _version(response: httpx.Response) -> str | None:
    """What the server calls this version of the file, in a way that `If-Range` takes: a strong ETag, or a date."""
    etag: str | None = response.headers.get("etag")
    date: str | None = response.headers.get("last-modified")
    return date if etag is None or etag.startswith("W/") else etag


class _Part:
    """A file that is not whole yet, and the note of which version of what size it is a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(path.name + ".json")
        self.version: str | None = None
        self.total: int | None = None
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
            self.version, self.total = str(noted["version"]), int(noted["total"])
        except (OSError, ValueError, KeyError, TypeError):
            self.discard()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def conditions(self) -> dict[str, str]:
        """Headers that ask for the rest; none if the whole is needed."""
        if self.version is None or not self.size:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.version}

    def write_from(self, start: int, response: httpx.Response, total: int | None) -> BinaryIO:
        """Open the file for what follows after `start` bytes; a start of 0 begins anew."""
        if start == 0:
            self.discard()
            version = _version(response)
            if version is not None and total is not None:
                self.version, self.total = version, total
                self._note.write_text(json.dumps({"version": version, "total": total}), encoding="utf-8")
        return self.path.open("ab")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Remove the note."""
        self.version = self.total = None
        self._note.unlink(missing_ok=True)
