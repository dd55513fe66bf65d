"""Who may use a state folder: one server alone, or an active one with its standbys."""

from pathlib import Path

from easymlnb_server.store.folder_lock import FolderLock


def test_one_server_has_the_folder(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.take("http://one") is None
    assert second.take("http://two") == "http://one"
    first.release()
    assert second.take("http://two") is None
    second.release()


def test_standbys_share_the_folder_and_know_who_is_the_last(tmp_path: Path) -> None:
    active, standby, third = (FolderLock(tmp_path) for _ in range(3))
    assert active.take("http://one", shared=True) is None
    assert standby.take("http://two", shared=True) is None
    assert not active.alone()
    assert FolderLock(tmp_path).take("http://other") == "http://two"
    standby.release()
    assert active.alone()
    # Asking does not keep one out that starts now.
    assert third.take("http://three", shared=True) is None
    assert not active.alone()
    for lock in (active, third):
        lock.release()
    assert not active.alone()
