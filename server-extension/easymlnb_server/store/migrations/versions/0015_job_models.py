"""The models that a job used."""

import sqlalchemy as sa
from alembic import op

revision = "0015_job_models"
down_revision = "0014_storage_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("models", sa.String(), nullable=False, server_default=""))
