"""Databases to test on: SQLite always, a PostgreSQL of our own where its programs are installed."""

import pytest

from support.postgres import Postgres


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind; the URL for SQLite is empty: the default place."""
    if request.param == "sqlite":
        return ""
    found: str = request.getfixturevalue("postgres_url")
    return found
