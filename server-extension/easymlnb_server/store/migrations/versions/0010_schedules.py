"""Schedules and webhooks of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0010_schedules"
down_revision = "0009_models"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    _schedules()
    _webhooks()
    _deliveries()


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("cron", sa.String(200), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("input", sa.JSON, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("overlap", sa.String(16), nullable=False),
        sa.Column("next", sa.Float(53)),
        sa.Column("tick", sa.Float(53)),
        sa.Column("last_job", sa.String(26)),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
    )
    op.create_index("ix_schedules_next", "schedules", ["next"])
    op.create_index("ix_schedules_owner", "schedules", ["owner"])


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("former", sa.String, nullable=False),
        sa.Column("former_until", sa.Float(53), nullable=False),
        sa.Column("disabled", sa.String, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_owner", "webhooks", ["owner"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("webhook", sa.String(26), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next", sa.Float(53), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state", "next"])
    op.create_index("ix_deliveries_owner", "deliveries", ["owner", "created"])
    op.create_index("ix_deliveries_job", "deliveries", ["job"])
