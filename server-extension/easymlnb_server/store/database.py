"""One database, SQLite or PostgreSQL: connections, transactions, and what their errors mean.

Work is handed in as a function and runs in one transaction, so that it can be tried again when
the database was away. It must therefore do no harm when it runs twice: a connection may be cut
between the commit and its confirmation.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from easymlnb.contract.errors import StorageBusy, StorageFull, StorageUnusable
from easymlnb_server.store import schema, sqlite

Result = TypeVar("Result")

WRITE_PATIENCE = 60.0
"""How long a write is tried again when PostgreSQL restarts, in seconds."""

READ_PATIENCE = 10.0
STATEMENT_SECONDS = 30
STALLED_SECONDS = 5
"""How long a transaction may be open without a statement."""

ALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A connection that nothing comes back from any more is noticed after about ten seconds."""

# One writer at a time: publishing is rare, and numbers stay free of gaps and races.
_WRITER = 0x656D6C6E62


class Database:
    """Runs work in transactions. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.fence: Callable[[Connection], None] = _no_fence
        """Called first in each writing transaction; raises where this process must not write."""

    @classmethod
    def open(cls, url: str | URL, *, expected: bool = False) -> "Database":
        """Connect, check and bring to the newest schema.

        ``url`` is ``sqlite:///path`` or ``postgresql://user@host/name``. ``expected`` says that
        there must be something in it. Several servers may do this at once. Raises
        ``StorageUnusable`` with the reason and the fix.
        """
        known = _parse(url)
        shown = known.render_as_string(hide_password=True)
        path = None
        if known.get_backend_name() == "sqlite":
            if not known.database or known.database == ":memory:":
                raise StorageUnusable(
                    "The database must be a file; an in-memory database is lost at the server's "
                    "stop."
                )
            path = Path(known.database).absolute()
            known = known.set(database=str(path))
            shown = str(path)
            if expected and not sqlite.has_content(path):
                raise _lost_content(shown)
            sqlite.prepare(path)
        made = cls(_engine(known))
        try:
            made._to_newest_schema(path, shown, expected)
        except DBAPIError as error:
            made.close()
            raise StorageUnusable(
                f"The database {shown} does not respond ({_first_line(error.orig)}). Start the "
                "database, or correct its URL."
            ) from error
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` on one consistent state and return its result; raises ``StorageBusy``."""
        return self._run(work, reading=True, patience=READ_PATIENCE)

    def write(
        self,
        work: Callable[[Connection], Result],
        *,
        patience: float = WRITE_PATIENCE,
        fenced: bool = True,
    ) -> Result:
        """Run ``work`` in one transaction that is on disk when this returns.

        For ``patience`` seconds it is tried again while the database is away. Raises
        ``StorageBusy``, ``StorageFull``, or what ``fence`` raises unless ``fenced`` is false; then
        nothing was changed.
        """

        def checked(connection: Connection) -> Result:
            self.fence(connection)
            return work(connection)

        return self._run(checked if fenced else work, reading=False, patience=patience)

    @property
    def name(self) -> str:
        """Return what kind of database it is: ``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    def _run(
        self, work: Callable[[Connection], Result], *, reading: bool, patience: float
    ) -> Result:
        until = time.monotonic() + patience
        pause = 0.05
        while True:
            try:
                with self._transaction(reading) as connection:
                    return work(connection)
            except PoolTimeout as error:
                raise StorageBusy from error
            except DBAPIError as error:
                meaning = _meaning(error)
                if meaning is None:
                    raise
                if meaning is not StorageBusy or not _lost(error) or time.monotonic() > until:
                    raise meaning from error
            time.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, 2.0)

    @contextmanager
    def _transaction(self, reading: bool) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            connection = connection.execution_options(easymlnb_reading=reading)
            with connection.begin():
                if not reading and connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITER})
                yield connection

    def _to_newest_schema(self, path: Path | None, shown: str, expected: bool) -> None:
        with self._transaction(reading=False) as connection:
            found = schema.check(connection, shown)
            if found == schema.newest():
                return
            if found is None and expected:
                raise _lost_content(shown)
            if path and found:
                sqlite.backup(path, found)
            schema.upgrade(connection)


def _no_fence(connection: Connection) -> None:
    """Let the only process write."""


def _lost_content(shown: str) -> StorageUnusable:
    return StorageUnusable(
        f"The database {shown} is missing or empty, but the file storage contains published "
        "bundles. Restore the database from a backup, or move the files away to start without "
        "published services."
    )


def _parse(url: str | URL) -> URL:
    try:
        known = make_url(url)
    except ArgumentError as error:
        raise StorageUnusable(
            "Invalid database URL. Use a URL such as sqlite:////path/easymlnb.sqlite or "
            "postgresql://user@host/name."
        ) from error
    if known.drivername in ("postgres", "postgresql"):
        known = known.set(drivername="postgresql+psycopg")
    if known.get_backend_name() not in ("sqlite", "postgresql"):
        raise StorageUnusable(
            f"Databases of type {known.drivername!r} are not supported; use SQLite or PostgreSQL."
        )
    return known


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_timeout=sqlite.BUSY_SECONDS)
        event.listen(engine, "connect", lambda made, record: sqlite.connect_pragmas(made))
        event.listen(engine, "begin", _begin)
        return engine
    options = (
        f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s "
        # One that is stopped in the middle of its turn must not keep the others from theirs.
        f"-c idle_in_transaction_session_timeout={STALLED_SECONDS}s"
    )
    try:
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=STATEMENT_SECONDS,
            connect_args={"connect_timeout": 10, "options": options, **ALIVE},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StorageUnusable(
            "The driver for PostgreSQL is not installed. Run: pip install 'easymlnb[postgres]'"
        ) from error


def _begin(connection: Connection) -> None:
    # A writer that begins as a reader can fail half-way; IMMEDIATE waits for its turn first.
    reading = connection.get_execution_options().get("easymlnb_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _meaning(error: DBAPIError) -> type[StorageBusy] | type[StorageFull] | None:
    """Return what an error of the database is to a caller; ``None`` for a defect of ours."""
    cause: Any = error.orig
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            return StorageFull
        return StorageBusy if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else None
    state = getattr(cause, "sqlstate", None) or ""
    if state == "53100":
        return StorageFull
    # Connection lost, resources short, server going or coming, a lock or statement over its time.
    away = state[:2] in ("08", "53", "57") or state in ("55P03", "40001", "40P01")
    return StorageBusy if away or _lost(error) else None


def _lost(error: DBAPIError) -> bool:
    """Say whether trying again on a new connection can help."""
    if isinstance(error.orig, sqlite3.Error):
        return False  # SQLite itself has waited already
    state = getattr(error.orig, "sqlstate", None)
    timed_out = state in ("57014", "55P03")
    never_connected = state is None and type(error.orig).__name__ == "OperationalError"
    restarting = state is not None and state[:2] in ("08", "57", "40")
    return (error.connection_invalidated or never_connected or restarting) and not timed_out


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines() or ["no reason given"]
    return lines[0][:300]
