"""The store's rows, on SQLite and on PostgreSQL."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import BundleNotFound, NameTaken, ServiceNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.store import BundleState, Store

FILE = "f" * 64


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    yield made
    made.close()


def spec(name: str, **more: Any) -> ServiceSpec:
    return ServiceSpec(name=name, title=name.title(), input={"type": "object"}, output={}, **more)


def publish(store: Store, bundle: str, *names: str, owner: str = "alice") -> list[int]:
    store.bundles.add(bundle, owner=owner, manifest={"format": 1}, file=FILE)
    done = store.services.publish(bundle, [spec(name) for name in names], owner=owner)
    return [version.number for version in done]


def test_a_bundle_starts_and_its_services_serve(store: Store) -> None:
    before = time.time()
    added = store.bundles.add("b1", owner="alice", manifest={"notebook": "n"}, file=FILE)
    assert added.is_new
    assert added.bundle.state is BundleState.STARTING
    assert added.bundle.manifest == {"notebook": "n"}
    assert before <= added.bundle.created <= time.time()
    assert [bundle.id for bundle in store.bundles.unfinished()] == ["b1"]
    told = spec("roll", examples=({"sides": 6},), tags=("dice",), timeout=2.5)
    versions = store.services.publish("b1", [told, spec("cast")], owner="alice")
    assert [(version.service, version.number, version.current) for version in versions] == [
        ("cast", 1, True),
        ("roll", 1, True),
    ]
    assert versions[1].spec == told
    found = store.bundles.get("b1")
    assert (found.state, found.provides, found.error) == (BundleState.READY, ("cast", "roll"), None)
    assert store.bundles.unfinished() == []
    assert sorted(store.services.access()) == ["cast", "roll"]
    assert store.services.versions("roll")[-1] == versions[1]
    assert store.services.versions("roll")[-1].owner == "alice"
    assert store.services.serving() == {"b1": versions}
    assert store.services.for_bundle("b1") == versions


def test_who_may_call_stays_with_the_service_and_ends_with_it(store: Store) -> None:
    publish(store, "b1", "alice/roll", "alice/cast")
    open_to_all = Access(("bob",), ("ml",), everyone=True)
    store.services.set_access("alice/roll", open_to_all)
    assert store.services.access() == {"alice/roll": open_to_all, "alice/cast": PRIVATE}
    publish(store, "b2", "alice/roll")
    assert store.services.versions("alice/roll")[-1].access == open_to_all
    store.services.delete("alice/roll")
    assert store.services.access() == {"alice/cast": PRIVATE}
    with pytest.raises(ServiceNotFound):
        store.services.set_access("alice/roll", open_to_all)
    publish(store, "b3", "alice/roll")
    assert store.services.access()["alice/roll"] == PRIVATE


def test_numbers_only_grow_even_after_deletion(store: Store) -> None:
    assert publish(store, "b1", "roll") == [1]
    assert publish(store, "b2", "roll") == [2]
    assert [version.number for version in store.services.delete("roll")] == [1, 2]
    for act in (store.services.versions, store.services.delete):
        with pytest.raises(ServiceNotFound):
            act("roll")
    assert store.services.serving() == {}
    assert publish(store, "b1", "roll", owner="bob") == [3]
    assert store.services.versions("roll")[-1].owner == "bob"


def test_versions_tell_which_is_current(store: Store) -> None:
    publish(store, "b1", "roll")
    publish(store, "b2", "roll")
    found = store.services.versions("roll")
    assert [(version.number, version.bundle, version.current) for version in found] == [
        (1, "b1", False),
        (2, "b2", True),
    ]
    assert list(store.services.serving()) == ["b2"]
    assert [one.number for one in store.services.for_bundle("b1")] == [1]


def test_publishing_again_what_serves_changes_nothing(store: Store) -> None:
    publish(store, "b1", "roll", "cast")
    again = store.bundles.add("b1", owner="alice", manifest={"format": 1}, file=FILE)
    assert not again.is_new and again.bundle.state is BundleState.READY
    assert not store.bundles.add("b1", owner="alice", manifest={}, file=FILE, names=["roll"]).is_new
    assert publish(store, "b1", "roll", "cast") == [1, 1]
    assert len(store.services.versions("roll")) == 1


def test_publishing_what_served_before_brings_it_back(store: Store) -> None:
    publish(store, "b1", "roll")
    publish(store, "b2", "roll")
    assert store.bundles.add("b1", owner="alice", manifest={}, file=FILE).is_new
    assert store.bundles.get("b1").state is BundleState.STARTING
    assert publish(store, "b1", "roll") == [3]
    assert list(store.services.serving()) == ["b1"]


def test_more_names_of_a_bundle_are_started(store: Store) -> None:
    def add(*names: str) -> bool:
        return store.bundles.add("b1", owner="a", manifest={}, file=FILE, names=names).is_new

    assert add("roll")
    assert not add("roll"), "it is starting already"
    store.services.publish("b1", [spec("roll")], owner="a")
    assert not add("roll")
    assert add("cast")
    store.services.publish("b1", [spec("cast")], owner="a")
    assert store.bundles.get("b1").provides == ("cast", "roll")
    assert add(), "nobody asked for all of them yet"
    store.services.publish("b1", [spec("cast"), spec("roll"), spec("more")], owner="a")
    assert not add()
    store.services.delete("more")
    assert add()


def test_a_failure_is_recorded_and_may_be_tried_again(store: Store) -> None:
    store.bundles.add("b1", owner="alice", manifest={}, file=FILE)
    error = {"code": "deployment_failed", "message": "no\x00\udc80", "cell": 3}
    assert store.bundles.set_failed("b1", error, log=FILE)
    found = store.bundles.get("b1")
    assert (found.state, found.error, found.log) == (BundleState.FAILED, error, FILE)
    assert store.bundles.unfinished() == []
    assert not store.bundles.set_failed("b1", {"code": "late"}), "only a starting one can fail"
    again = store.bundles.add("b1", owner="alice", manifest={}, file=FILE)
    assert again.is_new and again.bundle.error is None


def test_a_late_failure_does_not_undo_a_success(store: Store) -> None:
    publish(store, "b1", "roll")
    assert not store.bundles.set_failed("b1", {"code": "late"})
    assert store.bundles.get("b1").state is BundleState.READY


def test_a_name_of_somebody_else_is_refused_and_nothing_changes(store: Store) -> None:
    publish(store, "b1", "roll", owner="alice")
    store.bundles.add("b2", owner="bob", manifest={}, file=FILE)
    with pytest.raises(NameTaken, match="alice"):
        store.services.publish("b2", [spec("cast"), spec("roll")], owner="bob")
    assert sorted(store.services.access()) == ["roll"]
    assert store.bundles.get("b2").state is BundleState.STARTING


def test_what_is_not_there_is_said(store: Store) -> None:
    with pytest.raises(BundleNotFound):
        store.bundles.get("nope")
    with pytest.raises(BundleNotFound):
        store.services.publish("nope", [], owner="alice")
    with pytest.raises(ServiceNotFound):
        store.services.versions("nope")
    assert store.services.for_bundle("nope") == []


def test_parallel_publishing_gives_every_number_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: publish(store, f"b{number}", "roll"), range(24)))
    assert sorted(version.number for version in store.services.versions("roll")) == [*range(1, 25)]
    assert len(store.services.serving()) == 1


def test_sweeping_removes_only_what_nothing_needs(store: Store) -> None:
    kept, old, log = (store.files.put(data) for data in (b"kept", b"old", b"log"))
    for id, file in (("b1", kept), ("b2", old)):
        store.bundles.add(id, owner="a", manifest={}, file=file)
    store.services.publish("b1", [spec("roll")], owner="a", log=log)
    store.bundles.set_failed("b2", {"code": "x"})
    starting = store.files.put(b"starting")
    store.bundles.add("b3", owner="a", manifest={}, file=starting)
    loose = store.files.put(b"loose")
    assert store.sweep() == 0, "nothing is old enough"
    assert store.sweep(older=-1) == 2
    assert set(store.files.names()) == {kept, log, starting}
    assert loose not in store.files.names()
    with pytest.raises(BundleNotFound):
        store.bundles.get("b2")
    assert store.bundles.get("b1").log == log


def test_a_row_that_cannot_be_read_does_not_hide_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, "b1", "roll")
    publish(store, "b2", "cast")
    from sqlalchemy import update

    from easymlnb_server.store.tables import versions

    broken = update(versions).where(versions.c.service == "cast").values(spec={"name": 1})
    store.database.write(lambda connection: connection.execute(broken) and None)
    assert list(store.services.serving()) == ["b1"]
    assert "Cannot read version 1 of service cast" in caplog.text


def test_everything_is_there_after_a_restart(database_url: str, tmp_path: Path) -> None:
    first = Store.open(database_url, tmp_path)
    publish(first, "b1", "roll")
    first.bundles.add("b2", owner="bob", manifest={}, file=FILE, names=["cast"])
    expected = (first.services.access(), first.bundles.unfinished(), first.services.serving())
    first.close()
    second = Store.open(database_url, tmp_path)
    assert (
        second.services.access(),
        second.bundles.unfinished(),
        second.services.serving(),
    ) == expected
    second.close()
