"""Who may use a state folder: one server alone, or an active one with its standbys."""

from pathlib import Path

from easymlnb_server.store.folder_lock import FolderLock


def test_one_server_has_the_folder(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.acquire("http://one") is None
    assert second.acquire("http://two") == "http://one"
    first.release()
    assert second.acquire("http://two") is None
    second.release()


def test_standbys_share_the_folder_and_know_who_is_the_last(tmp_path: Path) -> None:
    active, standby, third = (FolderLock(tmp_path) for _ in range(3))
    assert active.acquire("http://one", shared=True) is None
    assert standby.acquire("http://two", shared=True) is None
    assert not active.is_exclusive()
    assert FolderLock(tmp_path).acquire("http://other") == "http://two"
    standby.release()
    assert active.is_exclusive()
    # Asking does not keep one out that starts now.
    assert third.acquire("http://three", shared=True) is None
    assert not active.is_exclusive()
    for lock in (active, third):
        lock.release()
    assert not active.is_exclusive()
