"""The lease of the active server process: one row that it renews while it serves.

All times are the database's, so the machines' clocks do not matter. ``token`` is a fencing token
(Kleppmann, "How to do distributed locking", 2016): it grows when another process takes the lease
over, and a process that was paused cannot write with its old token.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, extract, func, insert, select, update

from easymlnb.contract.errors import NotReady
from easymlnb_server.store.database import Database
from easymlnb_server.store.tables import lease

ROW = 1
PATIENCE = 1.0
"""Seconds for which one attempt is repeated while the database is unavailable."""


class LeaseLost(NotReady):
    """Another server process has become the active one."""

    def __init__(self) -> None:
        super().__init__(
            "Another server process has taken over from this one. Try again in a moment.",
            details={"retry_after": 1},
        )


class Lease:
    """This process's view of the lease. All methods block.

    - ``database``: a PostgreSQL database; with SQLite, a lock on the folder is used instead
    - ``seconds``: how long the lease lasts after each renewal
    - ``address``: URL of this process, for messages
    """

    def __init__(self, database: Database, seconds: float, address: str) -> None:
        self.seconds = seconds
        self._database = database
        self._address = address
        self._token = 0

    def acquire(self) -> bool:
        """Take the lease if it is free; return whether this process holds it."""

        def work(connection: Connection) -> int:
            row = _read(connection)
            expires = _clock() + self.seconds
            own = {"address": self._address, "process": this_process(), "expires": expires}
            if row is None:
                connection.execute(insert(lease).values(id=ROW, token=1, **own))
                return 1
            if row["left"] > 0 and not is_gone(row["process"]):
                return 0
            token = int(row["token"]) + 1
            connection.execute(update(lease).values(token=token, **own))
            return token

        if not self._is_free():
            return False
        self._token = self._database.write(work, patience=PATIENCE, fenced=False)
        return self._token > 0

    def renew(self) -> None:
        """Extend the lease; raises ``LeaseLost`` if another process has taken it."""
        values = {"expires": _clock() + self.seconds}
        statement = update(lease).where(lease.c.token == self._token).values(**values)

        def work(connection: Connection) -> None:
            if not connection.execute(statement).rowcount:
                raise LeaseLost

        self._database.write(work, patience=PATIENCE, fenced=False)

    def release(self) -> None:
        """Allow another process to take the lease at once."""
        statement = update(lease).where(lease.c.token == self._token).values(expires=0.0)
        self._database.write(
            lambda connection: connection.execute(statement) and None,
            patience=PATIENCE,
            fenced=False,
        )

    def fence(self, connection: Connection) -> None:
        """Raise ``LeaseLost`` in a transaction of a process that no longer holds the lease.

        Writing transactions run one after another, so the lease cannot change during one.
        """
        row = _read(connection)
        if row is None or row["token"] != self._token:
            raise LeaseLost

    def holder(self) -> str:
        """Return the URL of the process that holds the lease; ``""`` if it is free."""
        row = self._database.read(_read)
        return str(row["address"]) if row is not None and row["left"] > 0 else ""

    def _is_free(self) -> bool:
        row = self._database.read(_read)
        return row is None or row["left"] <= 0 or is_gone(row["process"])


def active_address(connection: Connection) -> str:
    """Return the URL of the process that serves a PostgreSQL database; ``""`` for none."""
    if connection.dialect.name != "postgresql" or not connection.dialect.has_table(
        connection, lease.name
    ):
        return ""
    row = _read(connection)
    serves = row is not None and row["left"] > 0 and not is_gone(row["process"])
    return str(row["address"]) if row is not None and serves else ""


def _clock() -> Any:
    """Return the database's current seconds since 1970, not those of the transaction's start."""
    return extract("epoch", func.clock_timestamp())


def _read(connection: Connection) -> RowMapping | None:
    left = (lease.c.expires - _clock()).label("left")
    return connection.execute(select(lease, left)).mappings().first()


def this_process() -> str:
    """Return an identifier of this process for others on the same machine."""
    return f"{_machine()} {_process('self')}"


def is_gone(process: str) -> bool:
    """Return whether a process of this machine has ended; ``False`` for other machines."""
    machine, _, rest = process.partition(" ")
    return bool(machine) and machine == _machine() and _process(rest.partition(" ")[0]) != rest


def _machine() -> str:
    """Return an id of the machine's current boot and its namespace of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _process(pid: str) -> str:
    """Return a process's id and start time in ticks; ``""`` if it has ended."""
    try:
        number, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" ")
    except OSError:
        return ""
    state, *fields = rest.rpartition(") ")[2].split()
    return "" if state in "ZX" else f"{number} {fields[18]}"
