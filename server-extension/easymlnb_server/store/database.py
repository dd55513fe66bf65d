"""Connections, transactions and errors of the database, SQLite or PostgreSQL.

Work is passed as a function and runs in one transaction, which is retried while the database is
unavailable. It must be idempotent: a connection can break between a commit and its confirmation.
"""

import os
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, insert, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from easymlnb.contract.errors import StorageBusy, StorageFull, StorageUnusable
from easymlnb_server.store import migrate, sqlite

P = ParamSpec("P")
Result = TypeVar("Result")
Rows = TypeVar("Rows", bound="Repository")

WRITE_PATIENCE, READ_PATIENCE = 60.0, 10.0
"""Seconds for which a transaction is retried while PostgreSQL is unavailable."""

STATEMENT_SECONDS = 30
CONNECT_SECONDS = 10
TRANSACTION_SECONDS = 40.0
"""Seconds after which the connection of a transaction is cut: PostgreSQL does not answer."""

MIGRATION_SECONDS = 3600.0
"""Seconds after which a migration is cut off; a table may be large, or the machine busy."""

STALLED_SECONDS = 5
"""Seconds that a transaction may be open without a statement."""

KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A dead connection is noticed after about ten seconds."""

# Writing transactions run one after another: publishing is rare, and version numbers need no gaps.
_WRITER = 0x656D6C6E62


class Database:
    """Runs work in transactions. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.fence: Callable[[Connection], None] = lambda connection: None
        """Called first in each writing transaction; raises if this process must not write."""

    @classmethod
    def open(cls, url: str | URL, *, expected: bool = False) -> "Database":
        """Connect, check the database and migrate it to the newest schema.

        ``url`` is ``sqlite:///path`` or ``postgresql://user@host/name``. With ``expected``, an
        empty database is an error. Several servers can do this at once. Raises
        ``StorageUnusable`` with the reason and a fix.
        """
        parsed = _parse(url)
        shown = parsed.render_as_string(hide_password=True)
        path = None
        if parsed.get_backend_name() == "sqlite":
            path = _sqlite_path(parsed)
            parsed, shown = parsed.set(database=str(path)), str(path)
            if expected and not sqlite.has_content(path):
                raise _lost_content(shown)
            sqlite.prepare(path)
        database = cls(_engine(parsed))
        try:
            database._migrate(path, shown, expected)
        except DBAPIError as error:
            database.close()
            raise StorageUnusable(
                f"The database {shown} does not respond ({_first_line(error.orig)}). Start the "
                "database, or correct its URL."
            ) from error
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def connect(cls, url: str | URL, *, create: bool = False) -> "Database":
        """Connect to a database of any schema, without a migration.

        ``create`` makes a missing file of SQLite. Raises ``StorageUnusable``.
        """
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            path = _sqlite_path(parsed)
            if not create and not sqlite.has_content(path):
                raise StorageUnusable(f"There is no database at {path}, or it is empty.")
            sqlite.prepare(path)
            parsed = parsed.set(database=str(path))
        return cls(_engine(parsed))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def read(self, work: Callable[[Connection], Result], *, seconds: float | None = None) -> Result:
        """Run ``work`` on a consistent state and return its result; raises ``StorageBusy``.

        ``seconds`` is the longest time; default: ``TRANSACTION_SECONDS``.
        """
        return self._run(work, reading=True, patience=READ_PATIENCE, seconds=seconds)

    def write(
        self,
        work: Callable[[Connection], Result],
        *,
        patience: float | None = None,
        fenced: bool = True,
        seconds: float | None = None,
        lock: bool = True,
    ) -> Result:
        """Run ``work`` in one transaction, which is on disk when this returns.

        It is retried for ``patience`` seconds while the database is unavailable; default:
        ``WRITE_PATIENCE``. ``seconds`` is as in ``read``. Without ``lock``, other writing
        transactions may run at the same time, so ``work`` must protect its rows. Raises
        ``StorageBusy``, ``StorageFull``, or, if ``fenced``, what ``fence`` raises; then nothing
        was changed.
        """

        def checked(connection: Connection) -> Result:
            self.fence(connection)
            return work(connection)

        patience = WRITE_PATIENCE if patience is None else patience
        return self._run(
            checked if fenced else work,
            reading=False,
            patience=patience,
            seconds=seconds,
            lock=lock,
        )

    def _run(
        self,
        work: Callable[[Connection], Result],
        *,
        reading: bool,
        patience: float,
        seconds: float | None,
        lock: bool = False,
    ) -> Result:
        until = time.monotonic() + patience
        pause = 0.05
        while True:
            try:
                with self._transaction(reading, seconds, lock=lock) as connection:
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
    def _transaction(
        self, reading: bool, seconds: float | None = None, *, lock: bool
    ) -> Iterator[Connection]:
        limit = TRANSACTION_SECONDS if seconds is None else seconds
        with self._engine.connect() as connection, _cut_after(connection, limit):
            connection = connection.execution_options(easymlnb_reading=reading)
            with connection.begin():
                if lock and connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITER})
                yield connection

    def _migrate(self, path: Path | None, shown: str, expected: bool) -> None:
        with self._transaction(reading=False, seconds=MIGRATION_SECONDS, lock=True) as connection:
            relax_timeouts(connection)
            revision = migrate.check(connection, shown)
            if revision == migrate.newest():
                return
            if revision is None and expected:
                raise _lost_content(shown)
            if path and revision:
                sqlite.backup(path, revision)
            migrate.upgrade(connection)


def relax_timeouts(connection: Connection) -> None:
    """Let this transaction of PostgreSQL take longer than others."""
    if connection.dialect.name == "postgresql":
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))


class Repository:
    """Base of the classes that read and write rows."""

    def __init__(self, database: Database) -> None:
        self._database = database


def reading(
    method: Callable[Concatenate[Rows, Connection, P], Result],
) -> Callable[Concatenate[Rows, P], Result]:
    """Run a repository's method with the connection of a reading transaction."""

    @wraps(method)
    def run(self: Rows, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return self._database.read(lambda connection: method(self, connection, *args, **kwargs))

    return run


def writing(
    method: Callable[Concatenate[Rows, Connection, P], Result],
) -> Callable[Concatenate[Rows, P], Result]:
    """Run a repository's method with the connection of a writing transaction."""

    @wraps(method)
    def run(self: Rows, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return self._database.write(lambda connection: method(self, connection, *args, **kwargs))

    return run


def upsert(
    connection: Connection,
    table: Table,
    key: dict[str, Any],
    values: dict[str, Any],
    *,
    if_new: Mapping[str, Any] | None = None,
) -> None:
    """Update the row with this ``key``, or insert it, then with the values ``if_new`` too."""
    matches = [table.c[column] == value for column, value in key.items()]
    if not connection.execute(update(table).where(*matches).values(**values)).rowcount:
        connection.execute(insert(table).values(**key, **values, **(if_new or {})))


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row, unless there is one with its key; return whether it is new."""
    is_postgres = connection.dialect.name == "postgresql"
    statement: Any = (postgresql.insert if is_postgres else sqlite_dialect.insert)(table)
    statement = statement.on_conflict_do_nothing().returning(*table.primary_key.columns)
    # Not ``rowcount``, which the driver of PostgreSQL does not report for this statement.
    return connection.execute(statement, row).first() is not None


def _lost_content(shown: str) -> StorageUnusable:
    return StorageUnusable(
        f"The database {shown} is missing or empty, but the file storage contains published "
        "bundles. Restore the database from a backup, or move the files away to start without "
        "published services."
    )


def _parse(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageUnusable(
            "Invalid database URL. Use a URL such as sqlite:////path/easymlnb.sqlite or "
            "postgresql://user@host/name."
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StorageUnusable(
            f"Databases of type {parsed.drivername!r} are not supported; use SQLite or PostgreSQL."
        )
    return parsed


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise StorageUnusable(
            "The database must be a file; an in-memory database is lost at the server's stop."
        )
    return Path(url.database).absolute()


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_timeout=sqlite.BUSY_SECONDS)
        event.listen(engine, "connect", lambda dbapi, record: sqlite.connect_pragmas(dbapi))
        event.listen(engine, "begin", _begin)
        return engine
    options = (
        f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s "
        # A process that is stopped in a transaction must not block the others.
        f"-c idle_in_transaction_session_timeout={STALLED_SECONDS}s"
    )
    try:
        return create_engine(
            url,
            pool_timeout=STATEMENT_SECONDS,
            connect_args={"connect_timeout": CONNECT_SECONDS, "options": options, **KEEPALIVE},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StorageUnusable(
            "The driver for PostgreSQL is not installed. Run: pip install 'easymlnb[postgres]'"
        ) from error


@contextmanager
def _cut_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Cut the connection if the block takes longer: a stopped PostgreSQL never answers.

    Its own timeouts do not help then, nor do those of TCP, which the kernel still acknowledges.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    driver: Any = connection.connection.driver_connection
    # A descriptor of its own: after the transaction, the number may be another open file.
    with socket.socket(fileno=os.dup(driver.fileno())) as line:

        def cut() -> None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _begin(connection: Connection) -> None:
    # A transaction that starts by reading can fail at its first write; IMMEDIATE waits here.
    reading = connection.get_execution_options().get("easymlnb_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _meaning(error: DBAPIError) -> type[StorageBusy] | type[StorageFull] | None:
    """Return the error for callers; ``None`` for a defect of this software."""
    cause: Any = error.orig
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            return StorageFull
        return StorageBusy if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else None
    state = getattr(cause, "sqlstate", None) or ""
    if state == "53100":
        return StorageFull
    # Connection lost, out of resources, restarting, or a lock or statement timed out.
    away = state[:2] in ("08", "53", "57") or state in ("55P03", "40001", "40P01")
    return StorageBusy if away or _lost(error) else None


def _lost(error: DBAPIError) -> bool:
    """Return whether a retry on a new connection can help."""
    if isinstance(error.orig, sqlite3.Error):
        return False  # SQLite has waited already
    state = getattr(error.orig, "sqlstate", None)
    timed_out = state in ("57014", "55P03")
    # Without importing the driver: a timeout of the connection is a subclass.
    kinds = {kind.__name__ for kind in type(error.orig).__mro__}
    never_connected = state is None and "OperationalError" in kinds
    restarting = state is not None and state[:2] in ("08", "57", "40")
    return (error.connection_invalidated or never_connected or restarting) and not timed_out


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines() or ["no reason given"]
    return lines[0][:300]
