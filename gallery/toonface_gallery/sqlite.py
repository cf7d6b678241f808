"""SQLite behind the store: how a file is opened, and what its failures mean to whoever runs it."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from toonface_contract.errors import ConfigError

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


def open_engine(url: URL, busy_timeout: float) -> Engine:
    """An engine for a SQLite file, in WAL mode, every commit of which is on disk before it is acknowledged."""
    name = url.render_as_string(hide_password=True)
    engine = create_engine(
        url,
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

    return engine


def begin_reading(connection: Connection) -> None:
    """Begin a transaction that sees one state throughout."""
    connection.exec_driver_sql("BEGIN")


def begin_writing(connection: Connection) -> None:
    """Begin a transaction with the write lock, waiting for it as long as the busy timeout says."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def advice(error: BaseException | None) -> str | None:
    """What whoever runs the program can do about a driver's error, or None where it is a programming error."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return _ADVICE.get(code & 0xFF)  # the low byte of an extended code is its primary code


def damage(connection: Connection) -> list[str]:
    """What SQLite's own check finds wrong with the file; nothing when it is sound."""
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalars()
    return [str(finding) for finding in found if finding != "ok"]


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
