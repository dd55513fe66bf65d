"""A database that is stopped, or locked: bounded waits, clear errors, and it works again."""

import sqlite3
from pathlib import Path

import pytest

from easymlnb.contract.errors import StorageBusy
from easymlnb_server.store import database as module
from easymlnb_server.store import sqlite
from easymlnb_server.store.store import DATABASE, Store
from support.postgres import Postgres, paused


def test_a_paused_database_does_not_block_for_ever(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 2)
    store = Store.open(postgres.create(), tmp_path)
    for name in ("TRANSACTION_SECONDS", "WRITE_PATIENCE", "READ_PATIENCE"):
        monkeypatch.setattr(module, name, 1.0)
    with paused(postgres):
        with pytest.raises(StorageBusy):
            store.people.bind("alice", "1")
        with pytest.raises(StorageBusy):
            store.people.all()
    monkeypatch.undo()
    assert store.people.bind("alice", "1") == "1"
    assert store.people.all() == {"alice": "1"}
    store.close()


def test_a_locked_database_is_read_and_refuses_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    store = Store.open("", tmp_path)
    other = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusy):
        store.people.bind("alice", "1")
    assert store.people.all() == {}
    other.execute("ROLLBACK")
    other.close()
    assert store.people.bind("alice", "1") == "1"
    store.close()
