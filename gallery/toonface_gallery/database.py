"""The SQL database behind the store: how it is opened, its two kinds of transactions, and what its failures say."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from toonface_contract.errors import ConfigError, Unavailable
from toonface_gallery.schema import SCHEMA_VERSION, metadata, schema_version

# SQLite's primary result codes (https://sqlite.org/rescode.html) that a running program can meet without being wrong,
# and what whoever runs it can do. Every other code is a programming error, and is raised as it is.
_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process has it locked; send the request again, and look for a long-running writer",
    sqlite3.SQLITE_PROTOCOL: "another process has it locked; send the request again",
    sqlite3.SQLITE_READONLY: "it is read-only; make the file and its folder writable for this process",
    sqlite3.SQLITE_PERM: "access is denied; make the file and its folder readable and writable for this process",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; the folder must exist, and be readable and writable",
    sqlite3.SQLITE_IOERR: "the disk fails; look at the system's log",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database; restore it from a backup, or name another file",
}

# Bytes in a database page, which is fixed when the file is made. A face of 512 dimensions is a row of 2.1 KB, of which
# SQLite's usual 4096 hold one: the file of 40,000 such faces is 42% smaller at this size, and is read a fifth faster.
_PAGE_BYTES: Final = 16384

# After a checkpoint the write-ahead log is cut to this size, or the largest batch ever written would keep its space.
_WAL_BYTES: Final = 64 * 1024 * 1024

_WRITES: Final = "toonface_writes"


class Database:
    """An open database with the store's tables. Safe to share between threads, and between processes by its URL."""

    def __init__(self, url: str, busy_timeout: float) -> None:
        """Open the database, and make the tables when it has none; several processes may do so at once.

        Args:
            url: SQLAlchemy URL of a SQLite file, such as ``sqlite:////var/lib/toonface/gallery.sqlite3``.
            busy_timeout: seconds to wait for another writer before giving up.

        Raises:
            ConfigError: the URL is wrong, or the store was written by a newer toonface.
            Unavailable: `store_unavailable`, the database cannot be opened or written.
        """
        self.name, self._engine = _engine(url, busy_timeout)
        self._prepare()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout. Writers do not wait for it, nor it for them."""
        with self._explained(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that has the database to itself for writing; it is on disk once the block is left.

        It takes the write lock at once: a transaction that reads first and then finds another writer ahead of it would
        have to be started over.
        """
        with (
            self._explained(),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # The next call opens the file anew: this connection may be to one that has been moved or replaced.
            self._engine.dispose()
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = _ADVICE.get(code & 0xFF)  # the low byte of an extended code is its primary code
            if advice is None:
                raise
            raise Unavailable(
                f"the gallery store {self.name}: {advice} ({error.orig})", code="store_unavailable"
            ) from error

    def _prepare(self) -> None:
        with self.reading() as connection:
            version = _version(connection)
        if version is None:
            with self.writing() as connection:
                version = _version(connection)  # another process may have been first
                if version is None:
                    metadata.create_all(connection, checkfirst=False)
                    connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
                    version = SCHEMA_VERSION
        if version > SCHEMA_VERSION:
            raise ConfigError(
                f"the gallery store {self.name} has schema version {version}, and this toonface knows versions up to "
                f"{SCHEMA_VERSION}; upgrade toonface, or name another store"
            )


def _engine(url: str, busy_timeout: float) -> tuple[str, Engine]:
    """The database's name for messages, free of passwords, and its engine."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "the gallery store's URL is not an SQLAlchemy URL; "
            "a file is named like sqlite:////var/lib/toonface/gallery.sqlite3"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(
            f"the gallery store's URL names the database {parsed.get_backend_name()!r}; allowed is sqlite, "
            "as in sqlite:////var/lib/toonface/gallery.sqlite3"
        )
    name = parsed.render_as_string(hide_password=True)
    engine = create_engine(
        parsed,
        # Without the driver's own transactions, which would start only at the first write, and never before a SELECT.
        connect_args={"timeout": busy_timeout, "isolation_level": None},
        # Labels are people's names, and do not belong in messages and logs.
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        if _write_ahead_log(connection, busy_timeout) != "wal":
            raise ConfigError(
                f"the gallery store {name} cannot keep a write-ahead log, which is what lets it be read while it is "
                "written; name a file on a local disk"
            )
        # In WAL mode anything less than FULL may lose the last commits when the power fails.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return name, engine


def _write_ahead_log(connection: sqlite3.Connection, patience: float) -> str:
    """Turn WAL mode on, which lasts, and return the mode that the file really has.

    Two processes that turn it on at the same moment stand in each other's way, and SQLite then refuses one of them at
    once instead of letting it wait (seen once in 180 tries with six processes), hence the loop.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def _version(connection: Connection) -> int | None:
    """The schema version of a store, or None where there is no store yet."""
    if not inspect(connection).has_table(schema_version.name):
        return None
    return int(connection.execute(select(schema_version.c.version)).scalar_one())
