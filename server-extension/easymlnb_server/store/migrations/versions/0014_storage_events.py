"""Files that were taken from folders and buckets."""

import sqlalchemy as sa
from alembic import op

revision = "0014_storage_events"
down_revision = "0013_quality"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "storage_items",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job", sa.String(26)),
        sa.Column("target", sa.String),
        sa.Column("error", sa.JSON),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.PrimaryKeyConstraint("id", name="pk_storage_items"),
    )
    op.create_index(
        "ix_storage_items_identity", "storage_items", ["source", "identity"], unique=True
    )
    op.create_index("ix_storage_items_state", "storage_items", ["source", "state", "id"])
