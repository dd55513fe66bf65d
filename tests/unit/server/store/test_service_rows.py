"""Rows of every table that has the name of a service, when the service moves or is removed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Connection, String, Table, func, insert, select

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import owner_key
from easymlnb_server.store import Store
from easymlnb_server.store.service_rows import MOVES, REMOVALS, REMOVED
from easymlnb_server.store.tables import api_keys, call_records, call_usage, jobs, metadata

OLD, NEW = "alice/roll", "bob/roll"
TABLES = {table.name: table for table in metadata.sorted_tables if "service" in table.columns}
LEFT = {"jobs", "call_usage", "schedules", "webhooks"}
"""Tables that keep rows of a service that its owner removes."""


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    spec = ServiceSpec(name=OLD, title="", input={}, output={})
    made.bundles.add("b1", owner="alice", manifest={"format": 1}, file="f" * 64, names=[OLD])
    made.services.publish("b1", [spec], owner="alice")
    made.people.bind("alice", "A")
    made.database.write(lambda connection: fill(connection))
    yield made
    made.close()


def fill(connection: Connection) -> None:
    for table in TABLES.values():
        if table.name not in ("versions", "provenance"):  # publishing made these
            connection.execute(insert(table).values(**row_of(table)))
    for id, services in (("key_a", [OLD, "carol/x"]), ("key_b", ["alice/*"])):
        values = row_of(api_keys) | {"id": id, "hash": id, "owner": "carol", "services": services}
        connection.execute(insert(api_keys).values(**values, revoked=None, expires=None))
    values = row_of(api_keys) | {"id": "key_c", "hash": "c", "owner": "alice", "services": ["*"]}
    connection.execute(insert(api_keys).values(**values, revoked=None, expires=None))


def row_of(table: Table) -> dict[str, Any]:
    """Return values for all columns that need one."""
    known = {"service": OLD, "owner": owner_key("alice"), "caller": owner_key("alice")}
    known |= {"scopes": ["call"], "user": "alice", "state": "queued", "bundle": "b1"}
    return {
        column.name: known.get(column.name) or some(column)
        for column in table.columns
        if not column.nullable
    }


def some(column: Column[Any]) -> Any:
    if isinstance(column.type, JSON):
        return {}
    return "x" if isinstance(column.type, String) else column.type.python_type(1)


def count(store: Store, table: Table, name: str) -> int:
    query = select(func.count()).select_from(table).where(table.c.service == name)
    return store.database.read(lambda connection: connection.scalar(query)) or 0


def values(store: Store, *columns: Column[Any]) -> list[tuple[Any, ...]]:
    query = select(*columns).order_by(columns[0])
    return store.database.read(lambda connection: [tuple(row) for row in connection.execute(query)])


def test_every_table_with_a_service_has_its_rules() -> None:
    assert TABLES.keys() == MOVES.keys() == REMOVALS.keys()


def test_all_rows_of_a_service_move_with_it(store: Store) -> None:
    before = {name: count(store, table, OLD) for name, table in TABLES.items()}
    assert all(before.values()), before

    assert store.people.transfer_service(OLD, "bob") == NEW

    for name, table in TABLES.items():
        assert (name, count(store, table, OLD), count(store, table, NEW)) == (name, 0, before[name])
    keys = dict(values(store, api_keys.c.id, api_keys.c.services))
    assert keys["key_a"] == [NEW, "carol/x"]
    (bundle,) = store.services.serving()
    assert values(store, jobs.c.bundle) == [(bundle,)]


def test_all_of_a_user_goes_to_another(store: Store) -> None:
    assert store.people.transfer("alice", "bob", "B") == {OLD: NEW}

    assert not any(count(store, table, OLD) for table in TABLES.values())
    assert values(store, jobs.c.owner, jobs.c.author) == [(owner_key("bob"), "bob")]
    assert values(store, call_usage.c.user) == [("bob",)]
    assert values(store, call_records.c.caller) == [(owner_key("bob"),)]
    found = {one.id: one for one in store.api_keys.changed(0.0)}
    assert (found["key_a"].services, found["key_b"].services) == ((NEW, "carol/x"), ("bob/*",))
    assert found["key_a"].revoked is None
    assert found["key_c"].revoked is not None


def test_nothing_is_left_of_a_removed_user(store: Store) -> None:
    assert store.people.remove("alice") == [OLD]

    for name, table in TABLES.items():
        assert (name, count(store, table, OLD)) == (name, 0)
    found = {one.id: one for one in store.api_keys.changed(0.0)}
    assert found["key_a"].services == ("carol/x",)
    assert found["key_a"].revoked is None
    assert found["key_b"].revoked is not None
    assert found["key_c"].revoked is not None


def test_a_removed_service_keeps_what_its_callers_own(store: Store) -> None:
    store.services.delete(OLD)

    assert {name for name, table in TABLES.items() if count(store, table, OLD)} == LEFT


def test_a_removed_callers_name_is_removed(store: Store) -> None:
    store.people.transfer_service(OLD, "bob")
    store.people.remove("alice")

    assert values(store, jobs.c.id) == []
    assert values(store, call_records.c.caller) == [(REMOVED,)]
    assert values(store, call_usage.c.user) == []
