"""Traffic of services, and promotions of versions."""

import sqlalchemy as sa
from alembic import op

revision = "0004_traffic"
down_revision = "0003_recordings"
branch_labels = None
depends_on = None

# SQLite ignores lengths.
NAME = sa.String(63).with_variant(sa.String(320), "postgresql")


def upgrade() -> None:
    op.add_column("services", sa.Column("traffic", sa.JSON))
    op.add_column(
        "services", sa.Column("revision", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
        sa.ForeignKeyConstraint(["service"], ["services.name"], name="fk_promotions_service"),
    )
    op.create_index("ix_promotions_service", "promotions", ["service"])
