"""Two server processes that share one PostgreSQL, and what tests want to know of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from conftest import RunningServer, free_port
from databases import Postgres

LEASE = 8.0
Server = TypeVar("Server", bound=RunningServer)


class Pair(Generic[Server]):
    """Servers on one database; ``one`` and ``two`` have folders of their own."""

    def __init__(self, kind: type[Server], folder: Path, postgres: Postgres, *options: str) -> None:
        self.kind = kind
        self.postgres = postgres
        self.database = postgres.create()
        secret = folder / "cookie_secret"
        secret.write_text("a secret that both processes know, as they must")
        secret.chmod(0o600)
        self.one, self.two = (
            self._make(folder / name, f"--ServerApp.cookie_secret_file={secret}", *options)
            for name in ("one", "two")
        )

    def _make(self, folder: Path, *options: str) -> Server:
        folder.mkdir()
        port = free_port()
        return self.kind(
            folder,
            port,
            options=(
                f"--EasyMLNB.database_url={self.database}",
                f"--EasyMLNB.files_url={folder.parent / 'files'}",
                f"--EasyMLNB.own_url=http://127.0.0.1:{port}",
                f"--EasyMLNB.lease_seconds={LEASE}",
                *options,
            ),
        )

    @property
    def both(self) -> tuple[Server, Server]:
        return self.one, self.two

    def start(self) -> None:
        for server in self.both:
            if server.process is None or server.process.poll() is not None:
                server.stop()  # closes what asked the one before
                server.start()

    def stop(self) -> None:
        for server in self.both:
            server.stop()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return rows(self.database, statement)

    def holders(self) -> dict[str, str]:
        """Return service -> the address of the process that serves it, of those alive."""
        return holders(self.database)

    def of(self, name: str) -> tuple[Server, Server]:
        """Return who serves a service, and the other one."""
        address = self.wait_for(lambda: self.holders().get(name), f"nobody serves {name}")
        mine = self.one if address.endswith(f":{self.one.port}") else self.two
        return mine, self.two if mine is self.one else self.one

    def held_by(self, server: RunningServer) -> set[str]:
        return {
            name for name, address in self.holders().items() if address.endswith(f":{server.port}")
        }

    def ready(self, *names: str) -> bool:
        return all(server.state(name) == "ready" for server in self.both for name in names)

    def wait_for(self, done: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        until = time.monotonic() + seconds
        while not (found := done()):
            if time.monotonic() > until:
                logs = "\n".join(server.log[-3000:] for server in self.both)
                raise AssertionError(f"{what}\n{logs}")
            time.sleep(0.05)
        return found


def rows(database: str, statement: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(database) as connection:
        return connection.execute(statement).fetchall()


def holders(database: str) -> dict[str, str]:
    """Return service -> the address of the process that serves it, of those alive."""
    found = rows(
        database,
        "SELECT s.name, p.address FROM services s "
        "JOIN versions v ON v.service = s.name AND v.number = s.current "
        "JOIN leases l ON l.bundle = v.bundle JOIN processes p ON p.holder = l.holder "
        "WHERE p.expires > extract(epoch FROM clock_timestamp())",
    )
    return {str(name): str(address) for name, address in found}


@contextmanager
def pair(
    kind: type[Server], folder: Path, postgres: Postgres, *options: str
) -> Iterator[Pair[Server]]:
    made = Pair(kind, folder, postgres, *options)
    try:
        made.start()
        yield made
    finally:
        made.stop()
