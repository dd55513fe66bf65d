"""Two server processes on one PostgreSQL and one state folder: one is active, one on standby."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.postgres import Postgres
from support.server import RunningServer, free_port

LEASE = 4.0
"""Seconds of the lease; short, because several tests wait until it has expired."""


class StandbyServer(RunningServer):
    """A server that has started when it answers at all, on standby or not."""

    def _answers(self) -> bool:
        return self._status("health/live") == 200

    @property
    def active(self) -> bool:
        return self._status("health/ready") == 200

    def _status(self, path: str) -> int:
        import httpx

        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        try:
            return self.http.get(path).status_code
        except httpx.TransportError:
            return 0


class Pair:
    """Two such servers."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.postgres = postgres
        self.database = postgres.create()
        self.state = folder / "state"
        options = (
            f"--EasyMLNB.database_url={self.database}",
            f"--EasyMLNB.state_dir={self.state}",
            f"--EasyMLNB.lease_seconds={LEASE}",
        )
        self.both = tuple(self._make(folder / name, options) for name in ("one", "two"))

    def _make(self, folder: Path, options: tuple[str, ...]) -> StandbyServer:
        folder.mkdir()
        return StandbyServer(folder, free_port(), options=options)

    def start(self) -> None:
        """Start those that do not run."""
        for server in self.both:
            if server.process is None or server.process.poll() is not None:
                server.stop()  # closes the HTTP client of the former process
                server.start()

    def stop(self) -> None:
        for server in self.both:
            server.stop()

    def roles(self) -> tuple[StandbyServer, StandbyServer]:
        """Return the active server and the one on standby."""
        active = self.wait_for(
            lambda: [one for one in self.both if one.active], "no server is active"
        )
        assert len(active) == 1, "both servers are active"
        return active[0], next(one for one in self.both if one is not active[0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.database) as connection:
            return connection.execute(statement).fetchall()

    def wait_for(self, done: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        until = time.monotonic() + seconds
        while not (found := done()):
            if time.monotonic() > until:
                logs = "\n".join(server.log[-3000:] for server in self.both)
                raise AssertionError(f"{what}\n{logs}")
            time.sleep(0.05)
        return found


@contextmanager
def pair(folder: Path, postgres: Postgres) -> Iterator[Pair]:
    made = Pair(folder, postgres)
    try:
        made.start()
        yield made
    finally:
        made.stop()
