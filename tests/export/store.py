"""A real HTTP server on loopback that stands for PaddleX's store, and can be as bad as any."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """An answer, for a fault to spoil.

    Attributes:
        status: of HTTP.
        headers: to send.
        body: to send; the connection is closed after it if it is shorter than Content-Length says.
    """

    status: int
    headers: dict[str, str]
    body: bytes


Fault = Callable[[Reply], None]


@dataclass
class Store:
    """What the server holds, how it will misbehave, and what it was asked.

    Attributes:
        address: of the server, without a final `/`.
        files: content by path, without a leading `/`.
        faults: one for each of the next answers, in turn.
        ranges: the Range header of each request so far.
        tagged: whether answers carry an ETag.
        careless: whether it answers `Range` without looking at `If-Range`.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    tagged: bool = True
    careless: bool = False

    def answer(self, path: str, asked: str | None, condition: str | None) -> Reply:
        """What a good server would send; faults come on top."""
        self.ranges.append(asked)
        body = self.files.get(path)
        if body is None:
            return Reply(404, {"Content-Length": "0"}, b"")
        headers = {"Content-Length": str(len(body))}
        tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if self.tagged:
            headers["ETag"] = tag
        if asked is None or (condition != tag and not self.careless):
            return Reply(200, headers, body)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return Reply(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(body)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        headers["Content-Length"] = str(len(body) - start)
        return Reply(206, headers, body[start:])


def cut_after(count: int) -> Fault:
    """The connection breaks after this many bytes of the body."""

    def fault(reply: Reply) -> None:
        reply.body = reply.body[:count]

    return fault


def status(code: int) -> Fault:
    """An answer with this status and nothing else."""

    def fault(reply: Reply) -> None:
        reply.status, reply.headers, reply.body = code, {"Content-Length": "0"}, b""

    return fault


def header(name: str, value: str) -> Fault:
    """The answer has this header."""

    def fault(reply: Reply) -> None:
        reply.headers[name] = value

    return fault


def both(one: Fault, other: Fault) -> Fault:
    """One fault and then another."""

    def fault(reply: Reply) -> None:
        one(reply)
        other(reply)

    return fault


def without_length(reply: Reply) -> None:
    """The answer does not say how long it is; the end of the connection ends it."""
    reply.headers = {"Connection": "close"}


def no_fault(reply: Reply) -> None:
    """The answer is what it should be."""


@contextmanager
def running_store() -> Iterator[Store]:
    """A store on a free port of loopback."""
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            reply = store.answer(self.path.lstrip("/"), self.headers.get("Range"), self.headers.get("If-Range"))
            if store.faults:
                store.faults.pop(0)(reply)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            if len(reply.body) < int(reply.headers.get("Content-Length", 0)):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    store.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
