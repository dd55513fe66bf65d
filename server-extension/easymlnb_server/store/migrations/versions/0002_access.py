"""Who may call a service, and room for the owner in its name."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("services", sa.Column("access", sa.JSON))
    op.add_column("services", sa.Column("changed", sa.Float(53)))
    services = sa.table("services", sa.column("changed"), sa.column("created"))
    op.execute(services.update().values(changed=services.c.created))
    if op.get_bind().dialect.name == "postgresql":  # SQLite does not look at lengths
        for table, column in (("services", "name"), ("versions", "service")):
            op.alter_column(
                table, column, existing_type=sa.String(63), type_=sa.String(320), nullable=False
            )
