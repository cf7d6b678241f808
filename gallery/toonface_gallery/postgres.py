"""PostgreSQL behind the store, for several servers that share one gallery: how it is reached, what its failures mean.

Writers take turns, as in SQLite, by an advisory lock that a transaction holds to its end. Without it a transaction
could commit a lower sequence number after another's higher one, and who follows the sequence would pass it over.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine

from toonface_contract.errors import ConfigError

# Names the lock among those of other programs at the same database: "toonface" as a number.
_WRITERS_LOCK: Final = int.from_bytes(b"toonface")

_CONNECT_SECONDS: Final = 5

# A server that vanishes without a word would keep whoever waits for its answer waiting for many minutes. So the system
# asks after five quiet seconds, every two seconds; three questions without an answer, or ten seconds in which nothing
# that was sent has arrived, end the connection.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES
_ALIVE: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

# SQLSTATE codes and classes (https://www.postgresql.org/docs/current/errcodes-appendix.html) that a running program can
# meet without being wrong. The longest prefix counts; a failure to connect has no code.
_ADVICE: Final = {
    "": "no connection to the database server; see that it runs, and that the URL's host, port, user, password and "
    "database are right",
    "08": "the connection broke; send the request again",
    "25006": "it is read-only, perhaps a standby; name the primary server",
    "40": "other transactions stood in the way; send the request again",
    "42501": "this user may not; grant it the schema's CREATE and USAGE rights",
    "53": "it is out of disk space, memory or connections; see the database server's log",
    "55P03": "another writer has it locked; send the request again, and look for a long-running writer",
    "57": "the database server is stopping or starting; send the request again",
    "58": "its disk fails; see the database server's log",
    "XX": "the database is damaged; see the database server's log",
}


def open_engine(url: URL, busy_timeout: float) -> Engine:
    """An engine for a PostgreSQL database.

    Raises:
        ConfigError: psycopg is not installed.
    """
    try:
        return create_engine(
            # `postgresql:` alone would mean the older psycopg2.
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "options": f"-c lock_timeout={int(busy_timeout * 1000)}",  # milliseconds
                **_ALIVE,
            },
            # After a restart of the server the pool holds dead connections.
            pool_pre_ping=True,
            # Labels are people's names, and do not belong in messages and logs.
            hide_parameters=True,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a gallery in PostgreSQL needs {error.name}, which is not installed: pip install 'toonface[postgres]'"
        ) from error


def begin_reading(connection: Connection) -> None:
    """Let the transaction that has just begun see one state throughout."""
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def begin_writing(connection: Connection) -> None:
    """Wait until no other writer is in a transaction."""
    # A writer whose machine vanished must not hold the lock for ever.
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '60s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


def advice(error: BaseException | None) -> str | None:
    """What whoever runs the program can do about a driver's error, or None where it is a programming error."""
    import psycopg

    state = getattr(error, "sqlstate", None)
    if state is None:
        return _ADVICE[""] if isinstance(error, psycopg.OperationalError) else None
    fitting = [prefix for prefix in _ADVICE if prefix and state.startswith(prefix)]
    return _ADVICE[max(fitting, key=len)] if fitting else None


def damage(connection: Connection) -> list[str]:
    """Nothing: PostgreSQL has no check of its own that every user may run."""
    return []
