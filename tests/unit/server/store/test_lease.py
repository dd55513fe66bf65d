"""The lease of the active server process, on a real PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from easymlnb_server.store import lease as leases
from easymlnb_server.store.lease import Lease, LeaseLost
from easymlnb_server.store.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def store(postgres_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(postgres_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def two(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[Lease, Lease]:
    """Two processes of different machines, so that neither sees whether the other one runs."""
    monkeypatch.setattr(leases, "_machine", lambda: "")
    return Lease(store.database, 60, "http://one"), Lease(store.database, 60, "http://two")


def expire(store: Store) -> None:
    statement = text("UPDATE lease SET expires = 0")
    store.database.write(lambda connection: connection.execute(statement) and None, fenced=False)


def test_one_process_has_the_lease(two: tuple[Lease, Lease]) -> None:
    first, second = two
    assert first.acquire()
    assert not second.acquire()
    first.renew()
    assert second.holder() == "http://one"


def test_released_lease_is_free_at_once(two: tuple[Lease, Lease]) -> None:
    first, second = two
    first.acquire()
    first.release()
    assert first.holder() == ""
    assert second.acquire()
    assert second.holder() == "http://two"


def test_expired_lease_is_kept_by_its_holder_if_nobody_took_it(
    store: Store, two: tuple[Lease, Lease]
) -> None:
    first, second = two
    first.acquire()
    expire(store)
    first.renew()
    assert not second.acquire()


def test_process_that_was_replaced_can_neither_renew_nor_write(
    store: Store, two: tuple[Lease, Lease]
) -> None:
    first, second = two
    first.acquire()
    store.database.fence = first.fence
    store.bundles.add("b1", owner="alice", manifest={}, file="f")
    expire(store)
    assert second.acquire()
    with pytest.raises(LeaseLost):
        first.renew()
    with pytest.raises(LeaseLost):
        store.bundles.add("b2", owner="alice", manifest={}, file="f")
    first.release()
    assert second.holder() == "http://two"
    store.database.fence = second.fence
    assert [one.id for one in store.bundles.unfinished()] == ["b1"]


def test_lease_of_a_dead_process_on_this_machine_is_free(store: Store) -> None:
    code = "from easymlnb_server.store.lease import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    one, other = Lease(store.database, 60, "http://one"), Lease(store.database, 60, "http://two")
    assert one.acquire()
    assert not other.acquire()
    gone = text("UPDATE lease SET process = :process")
    values = {"process": ended.stdout.strip()}
    store.database.write(lambda connection: connection.execute(gone, values) and None, fenced=False)
    assert other.acquire()
