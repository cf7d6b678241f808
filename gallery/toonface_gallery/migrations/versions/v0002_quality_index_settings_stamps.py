"""Quality of faces, index settings of galleries, stamps of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns. The table that held the version before Alembic did goes."""
    op.add_column("faces", sa.Column("quality", sa.Float))
    op.add_column("galleries", sa.Column("index_type", sa.String))
    op.add_column("galleries", sa.Column("metric", sa.String, nullable=False, server_default="IP"))
    op.add_column("changes", sa.Column("stamp", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("DROP TABLE IF EXISTS schema_version")
