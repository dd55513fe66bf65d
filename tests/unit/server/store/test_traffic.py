"""Versions, traffic and promotions in the database, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import (
    PromotionConflict,
    PromotionNotFound,
    ServiceNotFound,
    VersionInUse,
    VersionNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.usage.models import Totals
from easymlnb_server.store import Store
from easymlnb_server.store.records import ServiceRecord
from easymlnb_server.traffic import rules
from easymlnb_server.traffic.models import Shadow, Traffic
from easymlnb_server.traffic.promotions import AbortIf, Promotion, PromotionState

FILE = "f" * 64


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    yield made
    made.close()


def spec(*parameters: str, name: str = "f") -> ServiceSpec:
    properties = {parameter: {"type": "number"} for parameter in parameters}
    schema = {"type": "object", "properties": properties}
    return ServiceSpec(name=name, title="F", input=schema, output={})


def publish(store: Store, bundle: str, *parameters: str, name: str = "f", **options: Any) -> int:
    stage = options.get("stage", False)
    store.bundles.add(bundle, owner="alice", manifest={"n": bundle}, file=FILE, stage=stage)
    specs = [spec(*parameters, name=name)]
    (version,) = store.services.publish(bundle, specs, owner="alice", **options)
    return version.number


def record(store: Store, name: str = "f") -> ServiceRecord:
    (found,) = store.services.records([name])
    return found


def promotion(**changes: Any) -> Promotion:
    given: dict[str, Any] = {
        "id": "0" * 32, "service": "f", "version": 2, "base": 1, "steps": (5.0, 100.0),
        "every": 60.0, "abort_if": AbortIf(), "created": 1.0,
    }  # fmt: skip
    return Promotion(**{**given, **changes})


def test_a_staged_version_gets_no_traffic_until_it_is_set(store: Store) -> None:
    assert publish(store, "b1") == 1
    assert publish(store, "b2", stage=True) == 2
    assert record(store).traffic == Traffic.undivided(1)
    assert list(store.services.serving()) == ["b1"]
    again = store.bundles.add("b2", owner="alice", manifest={}, file=FILE, stage=True)
    assert not again.is_new
    before = record(store)
    changed = store.traffic.set("f", rules.switched(before.traffic, 2), before.revision)
    assert changed is not None
    assert (changed.traffic.weights, changed.revision) == ({2: 100.0}, before.revision + 1)
    assert changed.traffic.history == (1, 2)
    assert [one.current for one in store.services.versions("f")] == [False, True]


def test_publishing_the_staged_bundle_again_gives_it_the_traffic(store: Store) -> None:
    publish(store, "b1")
    publish(store, "b2", stage=True)
    assert store.bundles.add("b2", owner="alice", manifest={}, file=FILE).is_new
    assert publish(store, "b2") == 2
    assert record(store).traffic.weights == {2: 100.0}


def called(store: Store, user: str, key: str = "", *, days_ago: int = 0) -> None:
    day = (datetime.now(UTC).date() - timedelta(days=days_ago)).isoformat()
    store.call_usage.put([((day, "f", "1", user, key), Totals(calls=1))])


def test_a_version_that_breaks_callers_gets_no_traffic_without_force(store: Store) -> None:
    publish(store, "b1", "x")
    called(store, "bob")
    assert publish(store, "b2", "y") == 2
    assert record(store).traffic.weights == {1: 100.0}
    assert publish(store, "b2", "y", force=True) == 2
    assert record(store).traffic.weights == {2: 100.0}
    assert publish(store, "b3", "y", "z") == 3
    assert record(store).traffic.weights == {3: 100.0}


@pytest.mark.parametrize(
    ("user", "key", "days_ago", "takes_over"),
    [
        ("alice", "", 0, True),
        ("bob", "", 40, True),
        ("bob", "", 20, False),
        ("alice", "k", 0, False),
        ("(visitor)", "", 0, False),
    ],
)
def test_only_other_callers_of_late_can_be_broken(
    store: Store, user: str, key: str, days_ago: int, takes_over: bool
) -> None:
    publish(store, "b1", "x")
    called(store, user, key, days_ago=days_ago)
    publish(store, "b2", "y")
    assert record(store).traffic.weights == {(2 if takes_over else 1): 100.0}


def test_a_change_of_another_state_is_not_stored(store: Store) -> None:
    publish(store, "b1")
    publish(store, "b2", stage=True)
    revision = record(store).revision
    half = rules.divided(record(store).traffic, 1, 2, 50.0)
    assert store.traffic.set("f", half, revision) is not None
    assert store.traffic.set("f", Traffic.undivided(2), revision) is None
    assert record(store).traffic.weights == {1: 50.0, 2: 50.0}
    assert sorted(store.services.serving()) == ["b1", "b2"]
    with pytest.raises(ServiceNotFound):
        store.traffic.set("nope", half, 0)


def test_versions_with_traffic_aliases_shadows_or_promotions_stay(store: Store) -> None:
    for number in range(1, 7):
        publish(store, f"b{number}", stage=number > 1)
    before = record(store)
    traffic = Traffic(weights={1: 100.0}, aliases={"old": 2}, shadow=Shadow(3, 0.5), history=(4, 1))
    after = store.traffic.set("f", traffic, before.revision, promotion(version=5))
    assert after is not None
    for number, user in ((1, "traffic"), (2, "'old'"), (3, "shadow"), (5, "promotion")):
        with pytest.raises(VersionInUse, match=user):
            store.traffic.delete_version("f", number)
    left = store.traffic.delete_version("f", 4)
    assert (left.numbers, left.traffic.history) == ({1, 2, 3, 5, 6}, (1,))
    assert left.revision == after.revision
    with pytest.raises(VersionNotFound):
        store.traffic.delete_version("f", 4)
    assert publish(store, "b7", stage=True) == 7
    (pruned,) = store.traffic.prune(1)
    assert pruned.numbers == {1, 2, 3, 5, 7}
    assert store.traffic.prune(1) == []


def test_promotions_are_stored_with_the_traffic_that_they_set(store: Store) -> None:
    publish(store, "b1")
    publish(store, "b2", stage=True)
    before = record(store)
    step = rules.divided(before.traffic, 1, 2, 5.0)
    after = store.traffic.set("f", step, before.revision, promotion())
    assert after is not None
    (active,) = store.promotions.active()
    assert active == promotion(revision=after.revision)
    with pytest.raises(PromotionConflict):
        store.traffic.set("f", step, after.revision, promotion(id="1" * 32))
    assert record(store).revision == after.revision
    done = promotion(state=PromotionState.DONE, reason="5 of 9 failed")
    store.promotions.put(done)
    assert store.promotions.active() == []
    assert store.promotions.of_service("f") == [done]
    assert store.promotions.get("f", done.id).reason == "5 of 9 failed"
    with pytest.raises(PromotionNotFound):
        store.promotions.get("g", done.id)


def test_traffic_and_promotions_move_with_their_service_and_end_with_it(store: Store) -> None:
    for bundle, stage in (("b1", False), ("b2", True)):
        publish(store, bundle, name="alice/f", stage=stage)
    before = record(store, "alice/f")
    step = rules.divided(before.traffic, 1, 2, 5.0)
    store.traffic.set("alice/f", step, before.revision, promotion(service="alice/f"))
    store.people.transfer("alice", "bob", "id of bob")
    assert record(store, "bob/f").traffic.weights == {1: 95.0, 2: 5.0}
    assert [one.service for one in store.promotions.active()] == ["bob/f"]
    store.services.delete("bob/f")
    assert store.promotions.of_service("bob/f") == []
    assert store.services.records() == []
