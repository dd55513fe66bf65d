"""Jobs: calls that outlive their request."""

import sqlalchemy as sa
from alembic import op

revision = "0006_jobs"
down_revision = "0005_credentials"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    _jobs()
    _job_attempts()
    _job_events()
    _job_files()
    _job_metrics()
    _job_lanes()


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("bundle", sa.String(64), nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("lane", sa.String(63), nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(200)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("raised", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(32)),
        sa.Column("worker", sa.String(32)),
        sa.Column("not_before", sa.Float(53), nullable=False),
        sa.Column("timeout", sa.Float(53), nullable=False),
        sa.Column("cancel", sa.Boolean, nullable=False),
        sa.Column("input", sa.JSON, nullable=False),
        sa.Column("input_type", sa.String, nullable=False),
        sa.Column("accept", sa.String, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("result", sa.String(64)),
        sa.Column("result_type", sa.String, nullable=False),
        sa.Column("result_name", sa.String, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("log", sa.String(64)),
        sa.Column("checkpoint", sa.String(64)),
        sa.Column("progress", sa.Float(53), nullable=False),
        sa.Column("progress_text", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("parent", sa.String(26)),
        sa.Column("item", sa.Integer),
        sa.Column("retry_of", sa.String(26)),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("began", sa.Float(53)),
        sa.Column("ended", sa.Float(53)),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.Column("expires", sa.Float(53)),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_key", "jobs", ["owner", "service", "key"], unique=True)
    op.create_index("ix_jobs_rank", "jobs", ["lane", "state", "rank", "id"])
    op.create_index("ix_jobs_state", "jobs", ["state", "holder"])
    op.create_index("ix_jobs_parent", "jobs", ["parent", "item"])
    op.create_index("ix_jobs_owner", "jobs", ["owner", "created"])


def _job_attempts() -> None:
    op.create_table(
        "job_attempts",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("worker", sa.String(32), nullable=False),
        sa.Column("began", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("job", "number", name="pk_job_attempts"),
    )


def _job_events() -> None:
    op.create_table(
        "job_events",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("job", "n", name="pk_job_events"),
    )


def _job_files() -> None:
    op.create_table(
        "job_files",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("job", "label", name="pk_job_files"),
    )


def _job_metrics() -> None:
    op.create_table(
        "job_metrics",
        sa.Column("job", sa.String(26), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("step", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("job", "name", "step", name="pk_job_metrics"),
    )


def _job_lanes() -> None:
    op.create_table(
        "job_lanes",
        sa.Column("lane", sa.String(63), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("lane", "owner", name="pk_job_lanes"),
    )
