"""Services, their versions, and the bundles behind them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
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
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("current", sa.Integer),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("deleted", sa.Float(53)),
        sa.PrimaryKeyConstraint("name", name="pk_services"),
    )
    op.create_table(
        "versions",
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("bundle", sa.String(64), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("service", "number", name="pk_versions"),
        sa.ForeignKeyConstraint(["service"], ["services.name"], name="fk_versions_service"),
        sa.ForeignKeyConstraint(["bundle"], ["bundles.id"], name="fk_versions_bundle"),
    )
    op.create_index("ix_versions_bundle", "versions", ["bundle"])
