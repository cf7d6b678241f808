"""The store's tables and their changes over time, as Alembic scripts; `upgrade` runs those that a store lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

# A store from before Alembic: its tables are those of the first script.
_FIRST: Final = "0001"


def upgrade(connection: Connection, *, made_before_alembic: bool) -> None:
    """Bring the tables of a store up to the newest revision, or make them, in the caller's transaction.

    Args:
        connection: in a transaction that has the store to itself.
        made_before_alembic: the store has tables, but nothing that says which revision they are.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    if made_before_alembic:
        command.stamp(config, _FIRST)
    command.upgrade(config, "head")
