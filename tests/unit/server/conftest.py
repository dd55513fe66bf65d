"""Fixtures for tests of the server's parts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from easymlnb_server.dispatch import dispatcher
from easymlnb_server.store.store import Store
from easymlnb_server.store.tables import metadata
from easymlnb_server.workers import (
    checks,
    circuit_breaker,
    deployment,
    environment_drift,
    liveness,
    starter,
)
from support.postgres import Postgres, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as made:
        yield made


@pytest.fixture(scope="session")
def one_database(postgres: Postgres) -> str:
    """A database of PostgreSQL that many tests use: making one takes long."""
    return postgres.create()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store on each kind of database."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("one_database") if on_postgres else ""
    opened = Store.open(url, tmp_path)
    if on_postgres:
        names = ", ".join(f'"{name}"' for name in metadata.tables)
        opened.database.write(lambda connection: connection.execute(text(f"TRUNCATE {names}")))
    yield opened
    opened.close()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a deployment of fake kernels do in moments what takes seconds."""
    monkeypatch.setattr(deployment, "TICK", 0.01)
    monkeypatch.setattr(dispatcher, "GRACE", 0.02)
    monkeypatch.setattr(liveness, "ALIVE_EVERY", 0.01)
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.01)
    monkeypatch.setattr(circuit_breaker, "backoff", lambda failures: 0.01 * failures)
    monkeypatch.setattr(
        starter, "execute", lambda notebook, manager, *rest: manager.placement.execute(
            notebook, manager, *rest
        )
    )  # fmt: skip
    monkeypatch.setattr(environment_drift, "installed_versions", _no_versions)
    monkeypatch.setattr(starter, "serve", lambda client: client.dial())


async def _no_versions(client: object, names: object) -> None:
    """Report nothing, as a kernel without these packages does."""
