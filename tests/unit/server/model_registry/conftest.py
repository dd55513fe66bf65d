"""Stores with models on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb_server.store.models import ModelRows
from easymlnb_server.store.store import Store
from support.postgres import Postgres, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store on each kind of database."""
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create()
    opened = Store.open(url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def models(store: Store) -> ModelRows:
    return store.models
