"""What can be known to go wrong before tritonserver is started, said plainly: what, where, and what to do."""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import os
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from toonface_contract.errors import ConfigError, ServerError
from toonface_contract.names import ADMIN_TOKEN_ENV
from toonface_gallery.access import Access, read_access_file
from toonface_server.binary import STAND_INS, Installation
from toonface_server.options import ServeOptions
from toonface_server.repository import Repository


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports to listen on, all free a moment ago."""

    grpc: int
    http: int
    metrics: int

    def as_dict(self) -> dict[str, int]:
        """The ports by the names that programs read: `grpc_port`, `http_port`, `metrics_port`."""
        return {"grpc_port": self.grpc, "http_port": self.http, "metrics_port": self.metrics}


def check_access(options: ServeOptions) -> None:
    """Refuse a wrong host, a wrong access file, and changes without a token on a host that others can reach.

    Raises:
        ConfigError: naming the option.
    """
    if options.host != "localhost":
        try:
            ipaddress.IPv4Address(options.host)
        except ValueError:
            raise ConfigError(f"--host is {options.host!r}; it must be an IPv4 address or 'localhost'") from None
    if not options.loopback and not options.admin_token:
        raise ConfigError(
            f"--host is {options.host}, which other machines can reach, and there is no admin token: anybody could "
            f"change the galleries. Give --admin-token-file (or ${ADMIN_TOKEN_ENV}), or listen on 127.0.0.1"
        )
    if options.access_file is not None:
        try:
            Access(options.admin_token or None, read_access_file(options.access_file))
        except ConfigError as error:
            raise ConfigError(f"--access-file: {error.message}") from error


def claim_ports(options: ServeOptions) -> Ports:
    """Free ports: those asked for, and any free one where 0 was.

    Raises:
        ServerError: a port is taken, or may not be used; the message names the port, who has it, and the option.
    """
    wanted = {
        "--grpc-port": options.grpc_port,
        "--http-port": options.http_port,
        "--metrics-port": options.metrics_port,
    }
    claimed: dict[str, socket.socket] = {}
    try:
        # Held together, so that no two are the same.
        for option, port in wanted.items():
            claimed[option] = _bind(options.host, port, option)
        return Ports(*(claimed[option].getsockname()[1] for option in wanted))
    finally:
        for held in claimed.values():
            held.close()


def _bind(host: str, port: int, option: str) -> socket.socket:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
        # Only a second listener is refused where both set SO_REUSEADDR.
        held.listen(1)
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"port {port} on {host} is in use{_owner(port)}; choose another with {option} (0 takes a free one)"
            ) from error
        raise ServerError(f"cannot listen on {host}:{port} ({error.strerror}); see --host and {option}") from error
    return held


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass  # another user's process
    return ""


def check_backends(repository: Repository, installation: Installation) -> None:
    """Refuse models whose backend neither the server brings nor an installed Python package can stand in for.

    Raises:
        ServerError: naming the model and what is missing.
    """
    for model, config in repository.configs.items():
        backend = config.backend
        if not backend or (installation.backends / backend).is_dir():
            continue  # an ensemble needs none
        if backend not in STAND_INS:
            raise ServerError(
                f"model {model} was exported for the backend {backend}, which {installation.executable} lacks; "
                "export for another, or serve in NVIDIA's container"
            )
        if importlib.util.find_spec(backend) is None:
            raise ServerError(f"model {model} needs the package {backend}; run: pip install 'toonface[server]'")


def check_gallery(url: str, repository: Path) -> None:
    """Refuse a gallery store that cannot be written, or that the next export would delete.

    Databases on a server are not contacted: they may be away for a moment, and the stages go on trying.

    Raises:
        ConfigError: the URL is none, or the file lies inside the repository.
        ServerError: the file or its folder cannot be written.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The URL may hold a password, so it is not repeated.
        raise ConfigError(
            "--gallery-store is not a SQLAlchemy URL; examples: sqlite:////srv/toonface/gallery.sqlite3 and "
            "postgresql+psycopg://user:password@host/database"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        return
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError("--gallery-store is a SQLite database in memory; name a file, which several stages can share")
    path = Path(str(parsed.database)).absolute()
    if path.is_relative_to(repository.absolute()):
        raise ConfigError(
            f"--gallery-store {path} lies inside the repository, which the next export replaces; move it out"
        )
    if not path.parent.is_dir():
        raise ServerError(
            f"gallery store {path}: there is no folder {path.parent}; make it, or choose another --gallery-store"
        )
    if not os.access(path.parent, os.W_OK):
        raise ServerError(f"gallery store {path}: the folder {path.parent} cannot be written by this user")
    if path.exists():
        _check_sqlite(path)


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise ServerError(f"gallery store {path} cannot be written: {error}") from error
