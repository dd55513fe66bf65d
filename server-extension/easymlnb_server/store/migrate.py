"""Migrate a database to the newest schema, and refuse one with an unknown schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from easymlnb.contract.errors import StorageUnusable

MIGRATIONS = Path(__file__).with_name("migrations")


def newest() -> str:
    """Return the newest revision."""
    head = _scripts().get_current_head()
    assert head, "there is no migration"
    return head


def current(connection: Connection) -> str | None:
    """Return the revision of a database; ``None`` if it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def check(connection: Connection, shown: str) -> str | None:
    """Return the revision; raises ``StorageUnusable`` for an unknown one.

    ``shown`` is the database's name in messages.
    """
    revision = current(connection)
    if revision is None:
        if tables := inspect(connection).get_table_names():
            raise StorageUnusable(
                f"The database {shown} belongs to another application: it has tables such as "
                f"{tables[0]!r}, but none of easymlnb. Set EasyMLNB.database_url to another "
                "database."
            )
        return None
    try:
        _scripts().get_revision(revision)
    except CommandError as error:
        raise StorageUnusable(
            f"The database {shown} was written by a newer easymlnb (schema {revision}; this "
            f"version supports up to {newest()}). Install the newer release, or restore the copy "
            "of the database that it made in the same folder before the migration."
        ) from error
    return revision


def is_known(revision: str) -> bool:
    """Return whether this release has a revision: it is not of a newer one."""
    try:
        return _scripts().get_revision(revision) is not None
    except CommandError:
        return False


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Migrate to ``revision``, by default the newest, in the transaction of ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))
