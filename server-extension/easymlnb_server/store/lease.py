"""The lease of the active server process: one row that it renews for as long as it serves.

All times are the database's, so that the clocks of the machines do not matter. ``token`` grows
each time another process takes the lease over: it is the fencing token by which a process that
was paused is kept from writing (Kleppmann, "How to do distributed locking", 2016).
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, extract, func, insert, select, update

from easymlnb.contract.errors import NotReady
from easymlnb_server.store.database import Database
from easymlnb_server.store.tables import lease

ROW = 1
PATIENCE = 1.0
"""Seconds for which one attempt is repeated while the database is away."""


class LeaseLost(NotReady):
    """Another server process has become the active one."""

    def __init__(self) -> None:
        super().__init__(
            "Another server process has taken over from this one. Try again in a moment.",
            details={"retry_after": 1},
        )


class Lease:
    """This process's view of the lease; all methods block.

    Parameters
    ----------
    database
        A PostgreSQL database. SQLite has one process, which a lock on its folder ensures.
    seconds
        How long the lease lasts after each renewal.
    address
        URL of this process, for messages to people.
    """

    def __init__(self, database: Database, seconds: float, address: str) -> None:
        self.seconds = seconds
        self._database = database
        self._address = address
        self._token = 0

    def acquire(self) -> bool:
        """Take the lease if it is free; return whether this process has it now."""

        def work(connection: Connection) -> int:
            row = _read(connection)
            expires = _clock() + self.seconds
            mine = {"address": self._address, "process": this_process(), "expires": expires}
            if row is None:
                connection.execute(insert(lease).values(id=ROW, token=1, **mine))
                return 1
            if row["left"] > 0 and not is_gone(row["process"]):
                return 0
            token = int(row["token"]) + 1
            connection.execute(update(lease).values(token=token, **mine))
            return token

        if not self._is_free():
            return False
        self._token = self._database.write(work, patience=PATIENCE, fenced=False)
        return self._token > 0

    def renew(self) -> None:
        """Extend the lease; raises ``LeaseLost`` when another process has taken it."""
        values = {"expires": _clock() + self.seconds}
        statement = update(lease).where(lease.c.token == self._token).values(**values)

        def work(connection: Connection) -> None:
            if not connection.execute(statement).rowcount:
                raise LeaseLost

        self._database.write(work, patience=PATIENCE, fenced=False)

    def release(self) -> None:
        """Let another process take the lease at once."""
        statement = update(lease).where(lease.c.token == self._token).values(expires=0.0)
        self._database.write(
            lambda connection: connection.execute(statement) and None,
            patience=PATIENCE,
            fenced=False,
        )

    def fence(self, connection: Connection) -> None:
        """Raise ``LeaseLost`` in a transaction of a process that no longer has the lease.

        All writing transactions run one after the other, so none can slip in between.
        """
        row = _read(connection)
        if row is None or row["token"] != self._token:
            raise LeaseLost

    def holder(self) -> str:
        """Return the URL of the process that holds the lease, or ``""``."""
        row = self._database.read(_read)
        return str(row["address"]) if row is not None and row["left"] > 0 else ""

    def _is_free(self) -> bool:
        row = self._database.read(_read)
        return row is None or row["left"] <= 0 or is_gone(row["process"])


def _clock() -> Any:
    """Return the database's seconds since 1970, now and not as the transaction began."""
    return extract("epoch", func.clock_timestamp())


def _read(connection: Connection) -> RowMapping | None:
    left = (lease.c.expires - _clock()).label("left")
    return connection.execute(select(lease, left)).mappings().first()


def this_process() -> str:
    """Return what identifies this process to others on the same machine."""
    return f"{_machine()} {_process('self')}"


def is_gone(process: str) -> bool:
    """Say whether a process of this machine has ended; ``False`` for those of other machines."""
    machine, _, rest = process.partition(" ")
    return bool(machine) and machine == _machine() and _process(rest.partition(" ")[0]) != rest


def _machine() -> str:
    """Return an id of this boot of this machine and of its namespace of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _process(pid: str) -> str:
    """Return a process's id and start time in ticks; ``""`` for one that has ended."""
    try:
        number, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" ")
    except OSError:
        return ""
    state, *fields = rest.rpartition(") ")[2].split()
    return "" if state in "ZX" else f"{number} {fields[18]}"
