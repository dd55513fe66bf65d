"""Batches: tables that are run row by row, in blocks and parts."""

import sqlalchemy as sa
from alembic import op

revision = "0011_batches"
down_revision = "0010_schedules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("header", sa.String(64), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("share", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_batches"),
    )
    op.create_table(
        "batch_blocks",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("job", "number", name="pk_batch_blocks"),
    )
    op.create_table(
        "batch_parts",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("stop", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("job", "block", "start", name="pk_batch_parts"),
    )
