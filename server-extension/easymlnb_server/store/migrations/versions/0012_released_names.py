"""When names of former users became free."""

import sqlalchemy as sa
from alembic import op

revision = "0012_released_names"
down_revision = "0011_batches"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "released_names",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_released_names"),
    )
