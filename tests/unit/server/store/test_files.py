"""Files by content hash, on a local disk and on another kind of storage."""

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easymlnb.contract.errors import StorageDamaged, StorageFull, StorageUnusable
from easymlnb_server.store.files import Files


@pytest.fixture(params=["disk", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    if request.param == "disk":
        yield Files(str(tmp_path / "files"))
        return
    yield Files("memory://store/files")
    fsspec.filesystem("memory").store.clear()


def test_what_is_put_is_got(files: Files) -> None:
    for data in (b"", b"one", os.urandom(3 * 2**20)):
        name = files.put(data)
        assert name == hashlib.sha256(data).hexdigest()
        assert files.put(data) == name
        assert files.get(name) == data
        with files.open(name) as file:
            assert file.read() == data
    assert len(files.names()) == 3


@given(st.binary(max_size=200))
def test_any_content_survives(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    files = Files(str(tmp_path_factory.getbasetemp() / "any"))
    assert files.get(files.put(data)) == data


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "/" * 64, "a" * 65])
def test_no_name_is_a_path(files: Files, name: str) -> None:
    with pytest.raises(StorageDamaged):
        files.get(name)
    with pytest.raises(StorageDamaged):
        files.open(name)


def test_a_missing_file_is_said(files: Files) -> None:
    with pytest.raises(StorageDamaged, match="publish the notebook again"):
        files.get("0" * 64)


@pytest.mark.parametrize("damage", [b"", b"on", b"two"])
def test_damage_is_noticed_and_repaired_by_putting_again(tmp_path: Path, damage: bytes) -> None:
    files = Files(str(tmp_path))
    name = files.put(b"one")
    (tmp_path / name[:2] / name).write_bytes(damage)
    with pytest.raises(StorageDamaged):
        files.get(name)
    assert files.put(b"one") == name
    assert files.get(name) == b"one"


def test_what_cannot_be_read_counts_as_damaged(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    name = files.put(b"one")
    (tmp_path / name[:2] / name).unlink()
    (tmp_path / name[:2] / name).mkdir()
    with pytest.raises(StorageDamaged):
        files.get(name)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    name = Files(str(tmp_path / "files")).put(b"one")
    path = tmp_path / "files" / name[:2] / name
    for each, mode in ((path, 0o600), (path.parent, 0o700), (path.parent.parent, 0o700)):
        assert stat.S_IMODE(each.stat().st_mode) == mode


def test_sweeping_spares_what_is_kept_and_what_is_new(files: Files) -> None:
    kept, gone = files.put(b"kept"), files.put(b"gone")
    assert files.sweep({kept}, before=0) == 0
    assert files.sweep({kept}, before=2**40) == 1
    assert files.names() == [kept]
    assert gone not in files.names()


def test_a_crash_while_writing_leaves_nothing_that_counts(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "new-x7").write_bytes(b"half")
    assert files.names() == []
    assert files.sweep(set(), before=2**40) == 1
    assert not (tmp_path / "ab" / "new-x7").exists()


def test_many_may_put_the_same_at_once(files: Files) -> None:
    data = os.urandom(2**18)
    threads = [threading.Thread(target=files.put, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.names() == [hashlib.sha256(data).hexdigest()]
    assert files.get(files.names()[0]) == data


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(str(tmp_path))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    # The only patched device: a full disk is not available everywhere.
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        files.put(b"one")
    monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert files.get(files.put(b"one")) == b"one"


def test_storage_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageUnusable, match="writable folder"):
        Files(str(tmp_path / "file" / "below"))
    with pytest.raises(StorageUnusable, match="driver") as caught:
        Files("nosuchkind://user:password@host/x")
    assert "password" not in caught.value.message
