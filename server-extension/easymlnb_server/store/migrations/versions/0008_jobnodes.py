"""The checkpoint before the newest one, for when that cannot be read."""

import sqlalchemy as sa
from alembic import op

revision = "0008_jobnodes"
down_revision = "0007_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("former_checkpoint", sa.String(64)))
