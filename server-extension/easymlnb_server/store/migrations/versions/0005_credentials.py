"""Credentials of services."""

import sqlalchemy as sa
from alembic import op

revision = "0005_credentials"
down_revision = "0004_traffic"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    op.create_table(
        "credentials",
        sa.Column("service", NAME, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("updated", sa.Float(53), nullable=False),
        sa.Column("updated_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("service", "name", name="pk_credentials"),
    )
