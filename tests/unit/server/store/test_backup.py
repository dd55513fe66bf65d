"""A backup is one consistent state, and a restore is all of it or nothing."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from easymlnb.contract.errors import StorageUnusable
from easymlnb_server.maintenance import __main__ as maintenance
from easymlnb_server.store import migrate
from easymlnb_server.store.backup import archive, restore, rows
from easymlnb_server.store.backup.save import save
from easymlnb_server.store.credentials import StoredCredential
from easymlnb_server.store.database import Database
from easymlnb_server.store.store import Store, default_url, files_in
from support.fakes import spec


def quiet(what: str, done: int, total: int) -> None:
    """Report no progress."""


def fill(store: Store, count: int = 3) -> None:
    for number in range(count):
        file = store.files.put(f"bundle {number}".encode())
        store.bundles.add(f"{number:064}", owner="alice", manifest={"n": "ä\u2028"}, file=file)
        store.services.publish(f"{number:064}", [spec(name="s")], owner="alice", log=file)
    new = StoredCredential("s", "DB", "alice", "token", 1.5, "alice")
    store.credentials.put(new, limit=9)


def content(database: Database) -> dict[str, list[Any]]:
    def read(connection: Connection) -> dict[str, list[Any]]:
        return {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in rows.tables(connection)
        }

    return database.read(read)


def restored(url: str, folder: Path, source: Path, *, force: bool = False) -> Store:
    restore.restore(
        lambda: Database.connect(url or default_url(folder), create=True),
        files_in(folder),
        source,
        force=force,
        progress=quiet,
    )
    return Store.open(url, folder)


@pytest.fixture
def saved(tmp_path: Path, database_url: str) -> tuple[Path, dict[str, list[Any]], list[str]]:
    """A backup of some services, what the database contains, and the names of the files."""
    store = Store.open(database_url, tmp_path / "state")
    fill(store)
    save(store.database, store.files, tmp_path / "backup.tar", quiet)
    found = content(store.database), store.files.names()
    store.close()
    return tmp_path / "backup.tar", *found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_can_be_restored_into_either_database(
    saved: Any, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    source, rows_before, names = saved
    assert source.stat().st_mode & 0o777 == 0o600
    url = request.getfixturevalue("postgres").create() if kind == "postgresql" else ""
    store = restored(url, tmp_path / "other", source)
    assert content(store.database) == rows_before
    assert store.files.names() == names
    assert all(store.files.get(name) for name in names)
    assert store.services.serving()[f"{2:064}"][0].number == 3
    assert list(tmp_path.glob(".*")) == []
    with pytest.raises(StorageUnusable, match="--force"):
        restored(url, tmp_path / "other", source)
    store.services.delete("s")
    again = restored(url, tmp_path / "other", source, force=True)
    assert content(again.database) == rows_before
    store.close()
    again.close()


def test_a_backup_is_consistent_while_others_write(tmp_path: Path, database_url: str) -> None:
    store = Store.open(database_url, tmp_path / "state")
    fill(store)
    stop = threading.Event()

    def write() -> None:
        number = 100
        while not stop.is_set():
            number += 1
            file = store.files.put(f"bundle {number}".encode())
            store.bundles.add(f"{number:064}", owner="alice", manifest={}, file=file)
            store.services.publish(f"{number:064}", [spec(name="s")], owner="alice", log=file)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            save(store.database, store.files, tmp_path / f"{number}.tar", quiet)
    finally:
        stop.set()
        writer.join()
    store.close()
    for number in range(3):
        found = restored("", tmp_path / f"restored{number}", tmp_path / f"{number}.tar")
        state = content(found.database)
        assert state["services"][0]["last"] == len(state["versions"]) >= 3
        assert {one["bundle"] for one in state["versions"]} <= {
            one["id"] for one in state["bundles"]
        }
        assert all(found.files.get(name) for name in found.bundles.files())
        found.close()


def edited(source: Path, change: Callable[[bytearray], object]) -> Path:
    data = bytearray(source.read_bytes())
    change(data)
    target = source.with_name("edited.tar")
    target.write_bytes(data)
    return target


@pytest.fixture
def small(tmp_path: Path) -> Path:
    store = Store.open("", tmp_path / "state")
    fill(store, 1)
    save(store.database, store.files, tmp_path / "small.tar", quiet)
    store.close()
    return tmp_path / "small.tar"


def test_a_damaged_backup_changes_nothing(small: Path, tmp_path: Path) -> None:
    size, step = small.stat().st_size, 301
    for at in range(0, size, step):

        def flip(data: bytearray, at: int = at) -> None:
            data[at] ^= 0x55

        broken = edited(small, flip)
        try:
            archive.verify(broken)
        except StorageUnusable as error:
            assert "damaged" in error.message or "format" in error.message
        else:
            # Only bytes that mean nothing: padding, or dates in tar's own headers.
            assert [len(stream.read()) for _, stream in archive.members(broken)] == [
                len(stream.read()) for _, stream in archive.members(small)
            ]
    end = small.read_bytes().index(b"checksums.json")
    for length in (0, 100, size // 4, end, end + 600):
        broken = edited(small, lambda data, length=length: data.__delitem__(slice(length, None)))
        with pytest.raises(StorageUnusable):
            restored("", tmp_path / "new", broken)
    with pytest.raises(StorageUnusable):
        restored("", tmp_path / "new", tmp_path / "nosuch.tar")
    assert not (tmp_path / "new" / "easymlnb.sqlite").exists()


def test_a_newer_backup_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "is_known", lambda revision: False)
    with pytest.raises(StorageUnusable, match="newer easymlnb"):
        restored("", tmp_path / "new", small)
    monkeypatch.setattr(archive, "FORMAT", 0)
    with pytest.raises(StorageUnusable, match="format 1"):
        archive.verify(small)


def test_a_restore_that_fails_leaves_the_former_state(
    small: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(database_url, tmp_path / "used")
    fill(store, 2)
    before = content(store.database)

    def fail(*args: Any) -> int:
        raise RuntimeError("the machine stops")

    monkeypatch.setattr(rows, "load", fail)
    with pytest.raises(RuntimeError):
        restored(database_url, tmp_path / "used", small, force=True)
    assert content(store.database) == before
    store.close()


def test_a_backup_of_an_older_schema_is_migrated(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    old = Database.connect(database_url or default_url(folder), create=True)
    old.write(lambda connection: migrate.upgrade(connection, "0001"))
    save(old, files_in(folder), tmp_path / "old.tar", quiet)
    old.close()
    store = restored("", tmp_path / "new", tmp_path / "old.tar")
    assert store.database.read(migrate.current) == migrate.newest()
    store.close()


def test_commands(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    folder = tmp_path / "cli"
    state = ["--state-dir", str(folder), "--json"]
    maintenance.main([*state, "restore", str(small)])
    assert json.loads(capsys.readouterr().out)["rows"]["services"] == 1
    store = Store.open("", folder)
    unused = store.files.put(b"nothing needs this")
    store.close()
    maintenance.main([*state, "gc", "--older", "0s"])
    assert json.loads(capsys.readouterr().out)["files"] == {unused: 18}
    maintenance.main([*state, "gc", "--older", "0s", "--yes"])
    assert unused not in files_in(folder).names() and len(files_in(folder).names()) == 1
    maintenance.main([*state, "backup", str(tmp_path / "second.tar")])
    assert "Their key is not" in capsys.readouterr().err
    config = tmp_path / "settings.py"
    config.write_text(f"c.EasyMLNB.state_dir = {str(tmp_path / 'nothing')!r}")
    for command, expected in (
        (["--config", str(config), "backup", str(tmp_path / "x")], "There is no database"),
        (["--config", str(tmp_path / "none.py"), "gc"], "There is no configuration file"),
        (["gc", "--url", "http://127.0.0.1:1/"], "There is no option --url"),
        ([*state, "restore", str(small)], "--force"),
        ([*state, "backup", str(tmp_path / "none" / "x")], "does not exist"),
    ):
        with pytest.raises(SystemExit) as end:
            maintenance.main(command)
        assert expected in str(end.value)
