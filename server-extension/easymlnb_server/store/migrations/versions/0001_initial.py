"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    _publishing()
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("process", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
    )
    op.create_table(
        "usage",
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("process", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("user", "day", "process", name="pk_usage"),
    )
    op.create_table(
        "people",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_people"),
    )


def _publishing() -> None:
    op.create_table(
        "bundles",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("provides", sa.JSON, nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("log", sa.String(64)),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bundles"),
    )
    op.create_index("ix_bundles_state", "bundles", ["state"])
    op.create_table(
        "services",
        sa.Column("name", NAME, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("current", sa.Integer),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("deleted", sa.Float(53)),
        sa.Column("access", sa.JSON),
        sa.Column("changed", sa.Float(53)),
        sa.Column("moved", sa.String(320)),
        sa.PrimaryKeyConstraint("name", name="pk_services"),
    )
    op.create_table(
        "versions",
        sa.Column("service", NAME, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("bundle", sa.String(64), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("service", "number", name="pk_versions"),
        sa.ForeignKeyConstraint(["service"], ["services.name"], name="fk_versions_service"),
        sa.ForeignKeyConstraint(["bundle"], ["bundles.id"], name="fk_versions_bundle"),
    )
    op.create_index("ix_versions_bundle", "versions", ["bundle"])
