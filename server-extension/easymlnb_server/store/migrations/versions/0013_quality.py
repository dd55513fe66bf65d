"""Reports of the quality gate."""

import sqlalchemy as sa
from alembic import op

revision = "0013_quality"
down_revision = "0012_released_names"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quality_reports",
        sa.Column("bundle", sa.String(64), nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("bundle", name="pk_quality_reports"),
    )
