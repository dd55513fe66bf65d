"""Starting on a database: the first time, after an upgrade, and on what must be refused."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from easymlnb.contract.errors import StorageBusy, StorageFull, StorageUnusable
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store import Store, database, migrate, sqlite
from easymlnb_server.store.database import Database
from easymlnb_server.store.tables import metadata

pytestmark = pytest.mark.slow

Postgres = Any


def add(store: Store, id: str = "b1") -> None:
    store.bundles.add(id, owner="a", manifest={}, file=store.files.put(id.encode()))


def serve(store: Store, bundle: str = "b1", name: str = "roll") -> None:
    add(store, bundle)
    spec = ServiceSpec(name=name, title="Roll", input={}, output={})
    store.services.publish(bundle, [spec], owner="a")


def test_the_migrations_lead_to_the_tables(database_url: str, tmp_path: Path) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'x.sqlite'}"
    opened = Database.open(url)
    differences = opened.read(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), metadata
        )
    )
    assert differences == []
    assert opened.read(migrate.current) == migrate.newest()
    opened.close()


def test_the_database_is_set_up_to_keep_what_it_acknowledged(tmp_path: Path) -> None:
    store = Store.open("", tmp_path / "new")
    path = tmp_path / "new" / "easymlnb.sqlite"

    def pragmas(connection: Any) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.scalar(text(f"PRAGMA {name}")) for name in names]

    assert store.database.read(pragmas) == ["wal", 2, 1, 10_000]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    add(store)
    for file in (tmp_path / "new").glob("easymlnb.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.close()


def test_servers_may_start_at_the_same_time(database_url: str, tmp_path: Path) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'easymlnb.sqlite'}"
    code = (
        "import sys; from pathlib import Path; from easymlnb_server.store import Store\n"
        "store = Store.open(sys.argv[1], Path(sys.argv[2]))\n"
        "store.bundles.add(sys.argv[3], owner='a', manifest={}, file='f'*64); store.close()"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path), f"b{number}"])
        for number in range(4)
    ]
    assert [child.wait(60) for child in children] == [0] * 4
    store = Store.open(url, tmp_path)
    assert {bundle.id for bundle in store.bundles.unfinished()} == {"b0", "b1", "b2", "b3"}
    store.close()


def test_a_database_of_a_newer_release_is_refused(database_url: str, tmp_path: Path) -> None:
    store = Store.open(database_url, tmp_path)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    store.database.write(lambda connection: connection.execute(newer) and None)
    store.close()
    with pytest.raises(StorageUnusable, match=r"newer easymlnb \(schema 9999"):
        Store.open(database_url, tmp_path)


def test_a_database_of_something_else_is_refused(database_url: str, tmp_path: Path) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'other.sqlite'}"
    database = Database.open(url)
    for statement in ("DROP TABLE alembic_version", "CREATE TABLE theirs (a INTEGER)"):
        database.write(lambda connection, s=statement: connection.execute(text(s)) and None)  # type: ignore[misc]
    database.close()
    with pytest.raises(StorageUnusable, match="belongs to another application"):
        Store.open(url, tmp_path)


def test_a_crash_in_a_migration_leaves_the_database_as_it_was(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = migrate.upgrade

    def crashing(connection: Any) -> None:
        real(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate, "upgrade", crashing)
    with pytest.raises(KeyboardInterrupt):
        Store.open(database_url, tmp_path)
    monkeypatch.setattr(migrate, "upgrade", real)
    store = Store.open(database_url, tmp_path)
    add(store)
    store.close()


def test_a_slow_migration_is_not_cut_off(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STALLED_SECONDS", 1)
    real = migrate.upgrade

    def slow(connection: Any) -> None:
        time.sleep(1.5)
        real(connection)

    monkeypatch.setattr(migrate, "upgrade", slow)
    store = Store.open(postgres_url, tmp_path)
    add(store)
    store.close()


def test_a_copy_is_made_before_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open("", tmp_path)
    serve(store)
    store.close()
    before = migrate.newest()
    monkeypatch.setattr(migrate, "newest", lambda: "9998")
    Store.open("", tmp_path).close()
    copy = tmp_path / f"easymlnb.sqlite.before-upgrade-from-{before}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT name FROM services").fetchall() == [("roll",)]
    connection.close()


SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"
branch_labels = None
depends_on = None

def upgrade() -> None:
    op.add_column("services", sa.Column("mood", sa.String))
"""


def test_services_survive_an_upgrade(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(database_url, tmp_path)
    serve(store)
    store.close()
    migrations = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, migrations)
    (migrations / "versions/9999_mood.py").write_text(SECOND.format(before=migrate.newest()))
    monkeypatch.setattr(migrate, "MIGRATIONS", migrations)
    store = Store.open(database_url, tmp_path)
    assert sorted(store.services.access()) == ["roll"]
    moods = text("SELECT mood FROM services")
    assert store.database.read(lambda connection: connection.execute(moods).scalar()) is None
    store.close()


def test_the_longest_names_fit(database_url: str, tmp_path: Path) -> None:
    store = Store.open(database_url, tmp_path)
    longest = f"{'o' * 255}/{'s' * 63}"
    store.bundles.add("b2", owner="o" * 255, manifest={}, file="f")
    spec = ServiceSpec(name=longest, title="Roll", input={}, output={})
    found = store.services.publish("b2", [spec], owner="o" * 255)
    assert [one.service for one in found] == [longest]
    store.close()


@pytest.mark.parametrize("damage", ["head", "middle", "text"])
def test_a_damaged_database_is_refused(tmp_path: Path, damage: str) -> None:
    store = Store.open("", tmp_path)
    for number in range(40):
        serve(store, f"b{number}", f"roll{number}")
    store.close()
    path = tmp_path / "easymlnb.sqlite"
    data = bytearray(path.read_bytes())
    if damage == "head":
        data[:16] = os.urandom(16)
    elif damage == "middle":
        data[5000 : len(data) - 100] = os.urandom(len(data) - 5100)
    else:
        data = bytearray(b"this is no database, but it is long enough to be one" * 20)
    path.write_bytes(data)
    with pytest.raises(StorageUnusable, match="is damaged"):
        Store.open("", tmp_path)
    assert path.read_bytes() == data


def test_an_empty_database_beside_bundles_is_refused(postgres_url: str, tmp_path: Path) -> None:
    store = Store.open("", tmp_path)
    add(store)
    store.close()
    with pytest.raises(StorageUnusable, match="is missing or empty, but"):
        Store.open(postgres_url, tmp_path)


def test_any_folder_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b?c#d%20e&f=ü"
    store = Store.open("", folder)
    add(store)
    store.close()
    assert (folder / "easymlnb.sqlite").is_file()
    monkeypatch.chdir(tmp_path)
    store = Store.open("sqlite:///relative.sqlite", tmp_path)
    monkeypatch.chdir("/")
    store.database._engine.dispose()
    add(store)
    store.close()
    assert not Path("/relative.sqlite").exists()


def test_a_missing_database_is_not_replaced_in_silence(tmp_path: Path) -> None:
    store = Store.open("", tmp_path)
    add(store)
    store.close()
    (tmp_path / "easymlnb.sqlite").unlink()
    with pytest.raises(StorageUnusable, match="is missing or empty, but"):
        Store.open("", tmp_path)
    assert not (tmp_path / "easymlnb.sqlite").exists()
    shutil.rmtree(tmp_path / "files")
    Store.open("", tmp_path).close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "Invalid database URL"),
        ("mysql://h/x", "not supported"),
        ("sqlite://", "an in-memory database is lost"),
        ("sqlite:////proc/none/x.sqlite", "is not writable"),
        ("postgresql://user:hidden@127.0.0.1:9/x?connect_timeout=1", "does not respond"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused(tmp_path: Path, url: str, sentence: str) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(StorageUnusable, match=sentence) as caught:
        Store.open(url, tmp_path)
    assert "hidden" not in caught.value.message


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageUnusable, match="cannot be created"):
        Store.open("", tmp_path / "file")


def test_a_read_only_database_is_refused() -> None:
    folder = Path(tempfile.mkdtemp(prefix="easymlnb-ro-"))
    try:
        Store.open("", folder).close()
        for file in folder.glob("*.sqlite*"):
            file.chmod(0o444)
        folder.chmod(0o555)
        if os.geteuid() == 0:  # who may write everywhere
            os.seteuid(65534)
        with pytest.raises(StorageUnusable, match=r"is not writable.*PostgreSQL"):
            sqlite.prepare(folder / "easymlnb.sqlite")
    finally:
        os.seteuid(os.getuid())
        folder.chmod(0o700)
        shutil.rmtree(folder)


MOUNTS = {
    "/": "overlay",
    "/proc": "proc",
    "/home": "nfs4",
    "/home/alice/scratch": "tmpfs",
    "/mnt/with space": "cifs",
    "/mnt/ssh": "fuse.sshfs",
    "/containers": "fuse.fuse-overlayfs",
}


@pytest.mark.parametrize(
    ("folder", "kind", "network"),
    [
        ("/var/lib/x", "overlay", False),
        ("/home/alice", "nfs4", True),
        ("/home/alice/scratch/x", "tmpfs", False),
        ("/homeless", "overlay", False),
        ("/mnt/with space/x", "cifs", True),
        ("/mnt/ssh", "fuse.sshfs", True),
        ("/containers/x", "fuse.fuse-overlayfs", False),
    ],
)
def test_network_file_systems_are_recognised(folder: str, kind: str, network: bool) -> None:
    assert sqlite.filesystem(Path(folder), MOUNTS) == kind
    assert sqlite.is_network(kind) is network


def test_mounts_of_this_machine_are_known() -> None:
    assert sqlite.filesystem(Path("/"), sqlite._mounts())


def test_a_database_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_mounts", lambda: {str(tmp_path): "nfs4"})
    with pytest.raises(StorageUnusable, match=r"network file system \(nfs4\).*PostgreSQL"):
        Store.open("", tmp_path)
    assert not (tmp_path / "easymlnb.sqlite").exists()


# faults while running


def test_a_locked_database_makes_writes_wait_then_fail_and_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    store = Store.open("", tmp_path)
    serve(store)
    other = sqlite3.connect(tmp_path / "easymlnb.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusy):
        store.bundles.add("b2", owner="a", manifest={}, file="f" * 64)
    assert list(store.services.serving()) == ["b1"]
    other.execute("ROLLBACK")
    other.close()
    add(store, "b2")
    store.close()


def test_a_full_database_is_said_and_recovers(tmp_path: Path) -> None:
    store = Store.open("", tmp_path)
    serve(store)
    engine = store.database._engine

    def limit(pages: int) -> None:
        engine.dispose()
        with engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    limit(1)
    with pytest.raises(StorageFull):
        store.bundles.add("b2", owner="a", manifest={"x": "y" * 100_000}, file="f" * 64)
    assert list(store.services.serving()) == ["b1"]
    limit(100_000)
    add(store, "b2")
    store.close()


def test_postgresql_may_restart(postgres: Postgres, postgres_url: str, tmp_path: Path) -> None:
    store = Store.open(postgres_url, tmp_path)
    serve(store)
    postgres.stop()
    assert postgres.data.exists()
    starting = threading.Timer(0.5, postgres.start)
    starting.start()
    serve(store, "b2")
    starting.join()
    assert list(store.services.serving()) == ["b2"]
    store.close()


def test_postgresql_may_cut_connections(postgres_url: str, tmp_path: Path) -> None:
    store = Store.open(postgres_url, tmp_path)
    serve(store)
    calls: list[int] = []

    def cut(connection: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            store.database.read(
                lambda other: other.scalar(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            )
        return int(connection.scalar(text("SELECT count(*) FROM services")))

    assert store.database.write(cut) == 1
    assert len(calls) == 2
    store.close()


def test_a_driver_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "psycopg", None)  # type: ignore[arg-type]
    with pytest.raises(StorageUnusable, match=r"pip install 'easymlnb\[postgres\]'"):
        Store.open("postgresql://h/x", tmp_path)
