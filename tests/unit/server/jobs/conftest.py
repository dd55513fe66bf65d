"""Jobs in the databases of the store's tests."""

import pytest

from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.store import Store


@pytest.fixture
def repository(store: Store) -> JobRepository:
    return JobRepository(store.database)
