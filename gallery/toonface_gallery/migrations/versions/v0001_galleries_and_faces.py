"""Galleries, faces, and the sequence of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "galleries",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("embedder", sa.String, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "faces",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("gallery_id", _ID, sa.ForeignKey("galleries.id"), nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("faces_by_gallery", "faces", ["gallery_id", "id"])
    op.create_index("faces_by_label", "faces", ["gallery_id", "label"])
    op.create_table(
        "changes",
        sa.Column("sequence", _ID, primary_key=True),
        sa.Column("gallery_id", _ID, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("face_id", _ID),
        sqlite_autoincrement=True,
    )
