"""Files of models on this machine: checked, shared between versions, of limited size."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import ModelDamaged
from easymlnb.model_store import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "easymlnb/models"


def version(**contents: bytes) -> dict[str, Any]:
    files = [
        {"path": path.replace("__", "/"), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in contents.items()
    ]
    return {"files": files}


class Server:
    """Sends files, and counts how often."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = {path.replace("__", "/"): data for path, data in contents.items()}
        self.sent = 0

    def __call__(self, path: str, target: Path) -> None:
        self.sent += 1
        target.write_bytes(self.contents[path])


def test_a_file_is_fetched_once_and_again_when_it_was_damaged(folder: Path) -> None:
    server, about = Server(a=b"one", b__c=b"two"), version(a=b"one", b__c=b"two")
    for _ in range(2):
        with cache.files_of(about, server) as found:
            assert (found / "a").read_bytes() == b"one"
            assert (found / "b/c").read_bytes() == b"two"
        assert not found.exists()
    assert server.sent == 2
    (folder / about["files"][0]["sha256"]).write_bytes(b"???")
    with cache.files_of(about, server) as found:
        assert (found / "a").read_bytes() == b"one"
    assert server.sent == 3


def test_a_damaged_download_is_refused_and_not_kept(folder: Path) -> None:
    with (
        pytest.raises(ModelDamaged, match="SHA-256"),
        cache.files_of(version(a=b"one"), Server(a=b"cut")),
    ):
        raise AssertionError
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("path", ["../a", "/etc/a", "a/../../b", "", "a\\b"])
def test_files_stay_in_their_folder(path: str) -> None:
    about = {"files": [{"path": path, "sha256": "0" * 64}]}
    with pytest.raises(ModelDamaged, match="Invalid path"), cache.files_of(about, Server()):
        raise AssertionError
    about = {"files": [{"path": "a", "sha256": "../x"}]}
    with pytest.raises(ModelDamaged, match="Invalid SHA-256"), cache.files_of(about, Server()):
        raise AssertionError


def test_the_oldest_files_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 10)
    for data in (b"a" * 6, b"b" * 6):
        with cache.files_of(version(x=data), Server(x=data)):
            pass
    assert [path.name for path in folder.iterdir()] == [hashlib.sha256(b"b" * 6).hexdigest()]
