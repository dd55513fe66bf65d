"""Alembic's entry point; uses the connection and transaction of ``store.migrate``."""

from alembic import context

from easymlnb_server.store import batch_tables  # noqa: F401 - adds its tables
from easymlnb_server.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
