"""Which of several server processes on one database serves which bundle, and until when.

All times are the database's, so that the clocks of the machines do not matter.
"""

import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    Connection,
    delete,
    extract,
    func,
    insert,
    literal_column,
    select,
    update,
)

from easymlnb_server.store.database import Database
from easymlnb_server.store.records import State
from easymlnb_server.store.sharing import Lease, Situation, decide
from easymlnb_server.store.tables import bundles, leases, processes, services, versions


class LeaseLost(Exception):
    """What a process holds is, or may soon be, held by another: it must not write for it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The proof that a process holds a bundle; ``None`` in its place where nobody shares."""

    bundle: str
    holder: str
    token: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process whose time has not run out.

    ``seconds`` are left of it; ``secret`` is what it knows others by.
    """

    holder: str
    address: str
    seconds: float
    leaving: bool
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class View:
    """How things stood when a process had its turn.

    ``since`` is the monotonic clock of this machine before the database looked at its own: what
    the process holds is its own for at least so long after it. ``stamp`` changes with what is
    published and with who may call it. ``starting`` are bundles that wait for their first worker.
    """

    holder: str
    since: float
    processes: Mapping[str, Process]
    leases: Mapping[str, Lease]
    starting: frozenset[str]
    stamp: Collection[tuple[object, ...]]

    def hold(self, bundle: str) -> Hold | None:
        """Return the proof that this process holds a bundle, if it does."""
        lease = self.leases.get(bundle)
        if lease is None or lease.holder != self.holder:
            return None
        return Hold(bundle, self.holder, lease.token)


class Leases:
    """Rows of processes, and of what each of them serves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def shared(self) -> bool:
        """Say whether this kind of database can be shared by processes."""
        return self._database.name == "postgresql"

    def others(self) -> list[str]:
        """Return the addresses of all processes that are alive."""
        return self._database.read(
            lambda connection: [one.address for one in _alive(connection).values()]
        )

    def join(self, mark: str, address: str, seconds: float, *, secret: str = "") -> str:
        """Enter a process that others reach by ``address``; returns the name that it holds under.

        ``secret`` is told to the other processes. ``mark`` is the same each time it joins: what it
        held before is free from now on.
        """
        holder = f"{mark}.{secrets.token_hex(4)}"

        def work(connection: Connection) -> str:
            now = _clock(connection)
            old = (processes.c.mark == mark) | (processes.c.expires < now - 10 * seconds)
            connection.execute(delete(processes).where(old))
            row = {"holder": holder, "mark": mark, "address": address, "secret": secret}
            new = insert(processes).values(expires=now + seconds, leaving=False, **row)
            connection.execute(new)
            return holder

        return self._database.write(work)

    def turn(
        self,
        holder: str,
        seconds: float,
        *,
        ready: Collection[str] = (),
        release: Collection[str] = (),
        states: Mapping[str, str] | None = None,
        leaving: bool = False,
        settled: bool = True,
        patience: float = 5.0,
    ) -> View:
        """Hold on to everything for ``seconds`` more, and settle who serves what.

        ``ready``, ``release`` and ``settled`` are what ``sharing.decide`` takes; ``states`` tells
        of one's own bundles. Raises ``LeaseLost`` when the time had run out, ``StorageBusy``.
        """

        def work(connection: Connection) -> View:
            since = time.monotonic()
            now = _clock(connection)
            mine = (processes.c.holder == holder) & (processes.c.expires > now)
            renewed = update(processes).where(mine).values(expires=now + seconds, leaving=leaving)
            if not connection.execute(renewed).rowcount:
                raise LeaseLost(f"The time of {holder} ran out before it was renewed.")
            alive = _alive(connection)
            stamp, starting, wanted = _wanted(connection)
            before = _leases(connection)
            known = dict(before)
            for bundle, state in (states or {}).items():
                if bundle in known and known[bundle].holder == holder:
                    known[bundle] = replace(known[bundle], state=state)
            there = {name: one.leaving for name, one in alive.items()}
            now_ = Situation(there, known, _wishes(wanted, known), starting)
            after = decide(holder, now_, ready=ready, release=release, settled=settled)
            _store(connection, before, after)
            return View(holder, since, alive, after, starting, stamp)

        return self._database.write(work, patience=patience)

    def leave(self, holder: str) -> None:
        """Take a process out; what it still holds is free."""
        gone = delete(processes).where(processes.c.holder == holder)
        self._database.write(lambda connection: connection.execute(gone) and None)


def check(connection: Connection, hold: Hold | None) -> None:
    """Raise ``LeaseLost`` within a transaction of somebody who does not hold the bundle any more.

    Whoever takes a bundle over writes, too, and all writes come one after the other.
    """
    if hold is None:
        return
    query = (
        select(leases.c.token)
        .join(processes, processes.c.holder == leases.c.holder)
        .where(
            leases.c.bundle == hold.bundle,
            leases.c.holder == hold.holder,
            processes.c.expires > _clock(connection),
        )
    )
    if connection.execute(query).scalar() != hold.token:
        raise LeaseLost(f"{hold.holder} does not hold {hold.bundle[:12]} any more.")


def _clock(connection: Connection) -> float:
    """Return the database's own seconds since 1970, now and not as the transaction began."""
    found: Any
    if connection.dialect.name == "postgresql":
        found = extract("epoch", func.clock_timestamp())
    else:
        found = literal_column("(julianday('now') - 2440587.5) * 86400.0")
    return float(connection.execute(select(found)).scalar_one())


def _alive(connection: Connection) -> dict[str, Process]:
    now = _clock(connection)
    rows = connection.execute(select(processes).where(processes.c.expires > now))
    return {
        row.holder: Process(row.holder, row.address, row.expires - now, row.leaving, row.secret)
        for row in rows
    }


def _leases(connection: Connection) -> dict[str, Lease]:
    rows = connection.execute(select(leases))
    return {row.bundle: Lease(**row._mapping) for row in rows}


Wanted = dict[str, tuple[str, ...]]


def _wanted(
    connection: Connection,
) -> tuple[tuple[tuple[object, ...], ...], frozenset[str], Wanted]:
    """Return a stamp of all that is published, the bundles that start, and all with their rivals.

    The rivals of a bundle that starts are those that serve the names it will take over.
    """
    current = (
        select(services.c.name, versions.c.bundle, versions.c.number, services.c.changed)
        .join(
            versions,
            (versions.c.service == services.c.name) & (versions.c.number == services.c.current),
        )
        .order_by(services.c.name)
    )
    stamp = tuple(tuple(row) for row in connection.execute(current))
    serving = {str(row[0]): str(row[1]) for row in stamp}
    wanted: Wanted = dict.fromkeys(serving.values(), ())
    query = select(bundles.c.id, bundles.c.owner, bundles.c.names)
    starting = set()
    for row in connection.execute(query.where(bundles.c.state == State.STARTING)):
        known = (serving.get(name) or serving.get(f"{row.owner}/{name}") for name in row.names)
        wanted[row.id] = tuple(one for one in known if one is not None)
        starting.add(row.id)
    return stamp, frozenset(starting), wanted


def _wishes(wanted: Wanted, known: Mapping[str, Lease]) -> dict[str, str]:
    """Return who should serve each bundle: a new version belongs where its service is."""
    wishes = {}
    for bundle, rivals in wanted.items():
        there = [known[one].holder for one in rivals if one in known]
        wishes[bundle] = there[0] if there else ""
    return wishes


def _store(connection: Connection, before: Mapping[str, Lease], after: Mapping[str, Lease]) -> None:
    for bundle in before.keys() - after.keys():
        connection.execute(delete(leases).where(leases.c.bundle == bundle))
    for bundle, lease in after.items():
        if before.get(bundle) == lease:
            continue
        values = {
            "holder": lease.holder,
            "token": lease.token,
            "heir": lease.heir,
            "ready": lease.ready,
            "state": lease.state,
        }
        if bundle in before:
            one = update(leases).where(leases.c.bundle == bundle)
            connection.execute(one.values(**values))
        else:
            connection.execute(insert(leases).values(bundle=bundle, **values))
