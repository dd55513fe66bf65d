"""The table of what versions were made from."""

import sqlalchemy as sa
from alembic import op

revision = "0002_provenance"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    op.create_table(
        "provenance",
        sa.Column("service", NAME, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("publisher", sa.String(255), nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("log", sa.String(64)),
        sa.Column("accepted", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("service", "number", name="pk_provenance"),
        sa.ForeignKeyConstraint(
            ["service", "number"],
            ["versions.service", "versions.number"],
            name="fk_provenance_service",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )
