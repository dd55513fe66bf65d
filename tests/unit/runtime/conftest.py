"""A worker in a process of its own, for the tests of its loop."""

from collections.abc import Iterator

import pytest

from support.worker_peer import Peer


@pytest.fixture(scope="module")
def shared() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def peer(shared: Peer) -> Peer:
    """The worker that tests share; each leaves it idle."""
    assert shared.got.empty()
    return shared
