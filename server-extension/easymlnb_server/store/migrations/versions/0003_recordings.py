"""Recorded and flagged calls, and comparisons of versions."""

import sqlalchemy as sa
from alembic import op

revision = "0003_recordings"
down_revision = "0002_provenance"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    op.create_table(
        "call_records",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("caller", sa.String(320), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("preview", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("expires", sa.Float(53)),
        sa.PrimaryKeyConstraint("id", name="pk_call_records"),
    )
    op.create_index("ix_call_records_list", "call_records", ["service", "kind", "time"])
    op.create_index("ix_call_records_expires", "call_records", ["expires"])
    op.create_index("ix_call_records_request_id", "call_records", ["request_id"])
    _comparisons()


def _comparisons() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("before", sa.Integer, nullable=False),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("file", sa.String(64)),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("made_by", sa.String(320), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
    )
    op.create_index("ix_comparisons_list", "comparisons", ["service", "created"])
    op.create_index("ix_comparisons_state", "comparisons", ["state"])
    op.create_table(
        "comparison_items",
        sa.Column("comparison", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("record", sa.String(32)),
        sa.Column("outcome", sa.String(16)),
        sa.Column("result", sa.JSON),
        sa.PrimaryKeyConstraint("comparison", "number", name="pk_comparison_items"),
        sa.ForeignKeyConstraint(
            ["comparison"], ["comparisons.id"], name="fk_comparison_items_comparison"
        ),
    )
