"""Whose name is whose: identities that outlive names, and where services were moved to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_people"),
    )
    op.add_column("services", sa.Column("moved", sa.String(320)))
