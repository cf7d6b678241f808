"""The SQL database behind the store: how it is opened, its two kinds of transactions, and what its failures say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from toonface_contract.errors import ConfigError, Unavailable
from toonface_gallery import postgres, sqlite
from toonface_gallery.schema import SCHEMA_REVISION, galleries

_DIALECTS: Final = {"sqlite": sqlite, "postgresql": postgres}

_WRITES: Final = "toonface_writes"


class Database:
    """An open database with the store's tables. Safe to share between threads, and between processes by its URL."""

    def __init__(self, url: str, busy_timeout: float) -> None:
        """Open the database, and make its tables or bring them up to date; several processes may do so at once.

        Args:
            url: SQLAlchemy URL, such as ``sqlite:////var/lib/toonface/gallery.sqlite3`` or
                ``postgresql://user:password@host/database``.
            busy_timeout: seconds to wait for another writer before giving up.

        Raises:
            ConfigError: the URL is wrong, or the store was written by a newer toonface.
            Unavailable: `store_unavailable`, the database cannot be opened or written.
        """
        self.name, self._dialect, self._engine = _open(url, busy_timeout)
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

    def damage(self) -> list[str]:
        """What the database's own check finds wrong with it; nothing when it is sound."""
        with self.reading() as connection:
            found: list[str] = self._dialect.damage(connection)
        return found

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # The next call opens the database anew: this connection may be to a file that has been moved or replaced,
            # or to a server that has been restarted.
            self._engine.dispose()
            advice = self._dialect.advice(error.orig)
            if advice is None:
                raise
            raise Unavailable(
                f"the gallery store {self.name}: {advice} ({str(error.orig).strip()})", code="store_unavailable"
            ) from error

    def _prepare(self) -> None:
        with self.reading() as connection:
            revision = _revision(connection)
        if revision is None or revision < SCHEMA_REVISION:
            with self.writing() as connection:
                revision = _revision(connection)  # another process may have been first
                if revision is None or revision < SCHEMA_REVISION:
                    # Only here, for Alembic takes a quarter of a second to import.
                    from toonface_gallery.migrations import upgrade

                    before = revision is None and inspect(connection).has_table(galleries.name)
                    upgrade(connection, made_before_alembic=before)
                    revision = SCHEMA_REVISION
        if revision > SCHEMA_REVISION:
            raise ConfigError(
                f"the gallery store {self.name} has schema revision {revision}, and this toonface knows them up to "
                f"{SCHEMA_REVISION}; upgrade toonface, or name another store"
            )


def _open(url: str, busy_timeout: float) -> tuple[str, ModuleType, Engine]:
    """The database's name for messages, free of passwords, its dialect's module, and its engine."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "the gallery store's URL is not an SQLAlchemy URL; "
            "a file is named like sqlite:////var/lib/toonface/gallery.sqlite3"
        ) from None
    dialect = _DIALECTS.get(parsed.get_backend_name())
    if dialect is None:
        raise ConfigError(
            f"the gallery store's URL names the database {parsed.get_backend_name()!r}; allowed are sqlite, "
            "as in sqlite:////var/lib/toonface/gallery.sqlite3, and postgresql, as in postgresql://user:password@host/name"
        )
    engine: Engine = dialect.open_engine(parsed, busy_timeout)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES, False):
            dialect.begin_writing(connection)
        else:
            dialect.begin_reading(connection)

    return parsed.render_as_string(hide_password=True), dialect, engine


def _revision(connection: Connection) -> str | None:
    """The schema revision of a store, or None where there is no store yet, or one from before there were revisions."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
