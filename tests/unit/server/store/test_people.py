"""Names of people, services that change hands, and what is left of who is gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb.contract.errors import BundleNotFound, NameTaken, ServiceNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Access
from easymlnb_server.store import Store
from easymlnb_server.store.people import REMOVED

FILE = "f" * 64


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    yield made
    made.close()


def publish(store: Store, bundle: str, *names: str) -> list[int]:
    owner = names[0].partition("/")[0]
    store.bundles.add(bundle, owner=owner, manifest={"format": 1}, file=FILE, names=names)
    specs = [ServiceSpec(name=name, title="", input={}, output={}) for name in names]
    return [one.number for one in store.services.publish(bundle, specs, owner=owner)]


def test_a_name_belongs_to_whom_it_was_seen_with_first(store: Store) -> None:
    assert store.people.bind("alice", "A") == "A"
    assert store.people.bind("alice", "B") == "A"
    assert store.people.bind("alice2", "A") == "A"
    assert store.people.all() == {"alice": "A", "alice2": "A"}


def test_services_change_hands_with_versions_bundles_and_access(store: Store) -> None:
    for bundle in ("b1", "b2"):
        publish(store, bundle, "alice/roll", "alice/cast")
    publish(store, "b3", "bob/count")
    store.services.set_access("alice/roll", Access(users=("bob",), groups=("ml",)))
    store.services.set_access("bob/count", Access(users=("alice", "eve")))
    store.people.bind("alice", "A")

    moved = store.people.transfer("alice", "ann", "A")

    assert moved == {"alice/cast": "ann/cast", "alice/roll": "ann/roll"}
    assert sorted(store.services.access()) == ["ann/cast", "ann/roll", "bob/count"]
    roll = store.services.versions("ann/roll")[-1]
    assert (roll.owner, roll.number, roll.spec.name) == ("ann", 2, "ann/roll")
    assert [one.number for one in store.services.versions("ann/roll")] == [1, 2]
    assert store.services.access()["ann/roll"] == Access(users=("bob",), groups=("ml",))
    assert store.services.access()["bob/count"] == Access(users=("ann", "eve"))
    # Their ids are others: who gets the name may publish the same notebook.
    given, kept = store.services.serving()
    assert (len(given), kept) == (64, "b3")
    found = store.bundles.get(given)
    assert (found.owner, found.names) == ("ann", ("ann/cast", "ann/roll"))
    with pytest.raises(BundleNotFound):
        store.bundles.get("b2")
    with pytest.raises(ServiceNotFound):
        store.services.versions("alice/roll")
    assert store.people.moved() == moved
    assert store.people.all() == {"ann": "A"}

    # Who gets the name may use it, and the service is no longer to be found by it.
    assert publish(store, "b4", "alice/roll") == [3]
    assert store.services.versions("alice/roll")[-1].access == Access()
    assert "alice/roll" not in store.people.moved()
    # And back again, over what was there.
    store.services.delete("alice/roll")
    assert store.people.transfer("ann", "alice", "A") == {
        "ann/cast": "alice/cast", "ann/roll": "alice/roll",
    }  # fmt: skip
    assert publish(store, "b5", "alice/roll") == [4]


def test_nothing_changes_hands_over_what_is_there(store: Store) -> None:
    publish(store, "b1", "alice/roll", "alice/cast")
    publish(store, "b2", "bob/roll")
    with pytest.raises(NameTaken, match="bob/roll"):
        store.people.transfer("alice", "bob", "B")
    assert store.people.owners() == {"alice", "bob"}
    store.bundles.add("b3", owner="alice", manifest={}, file=FILE, names=["alice/more"])
    with pytest.raises(NameTaken, match="being published"):
        store.people.transfer("alice", "carol", "C")


def test_of_who_is_removed_nothing_is_left(store: Store) -> None:
    publish(store, "b1", "alice/roll")
    publish(store, "b2", "bob/count")
    store.bundles.add("b3", owner="alice", manifest={}, file=FILE)
    store.services.set_access("bob/count", Access(users=("alice",), everyone=True))
    store.people.bind("alice", "A")
    assert store.people.owners() == {"alice", "bob"}
    assert store.people.remove("alice") == ["alice/roll"]
    assert store.people.owners() == {"bob"}
    assert store.people.all() == {}
    assert sorted(store.services.access()) == ["bob/count"]
    assert store.services.access()["bob/count"] == Access(everyone=True)
    for bundle in ("b1", "b3"):
        with pytest.raises(BundleNotFound):
            store.bundles.get(bundle)
    assert store.people.remove("alice") == []


def test_one_service_moves_to_a_group_and_keeps_its_account(store: Store) -> None:
    publish(store, "a" * 64, "alice/one", "alice/two")
    store.services.set_access("alice/one", Access(("carol",)))
    assert store.people.transfer_service("alice/one", "group:lab") == "lab/one"
    (moved,) = store.services.versions("lab/one")
    assert (moved.owner, moved.access.users, moved.number) == ("group:lab", ("carol",), 1)
    assert store.people.accounts()[moved.bundle] == "alice"
    assert store.bundles.get("a" * 64).provides == ("alice/two",)
    assert store.people.moved() == {"alice/one": "lab/one"}
    publish(store, "b" * 64, "alice/one")
    with pytest.raises(NameTaken):
        store.people.transfer_service("alice/one", "group:lab")
    with pytest.raises(ServiceNotFound):
        store.people.transfer_service("alice/none", "group:lab")
    # A later user of the name does not run what this one published for the group.
    store.people.remove("alice")
    assert store.people.accounts()[moved.bundle] == REMOVED
