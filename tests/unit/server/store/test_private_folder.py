"""The server's folder is its account's only, also when it was there before."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb_server.store import private_folder
from easymlnb_server.store.private_folder import make_folder, make_private


def modes(folder: Path) -> dict[str, int]:
    found = [folder, *folder.rglob("*")]
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in found}


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_new_folder_is_private(tmp_path: Path) -> None:
    make_private(tmp_path / "above" / "state")
    assert modes(tmp_path / "above" / "state") == {"state": 0o700}


def test_folders_above_are_private_too(tmp_path: Path) -> None:
    make_folder(tmp_path / "nodes" / "gpu")
    make_folder(tmp_path / "nodes" / "gpu")
    assert modes(tmp_path / "nodes") == {"nodes": 0o700, "gpu": 0o700}


def test_folder_that_was_there_is_closed_with_all_in_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "files" / "ab").mkdir(parents=True)
    (state / "files" / "ab" / "bundle").write_text("x")
    (state / "easymlnb.sqlite").write_text("x")
    (state / "run").write_text("x")
    (state / "run").chmod(0o755)
    outside = tmp_path / "outside"
    outside.write_text("x")
    (state / "link").symlink_to(outside)
    make_private(state)
    assert modes(state) | {"link": 0} == {
        "state": 0o700, "files": 0o700, "ab": 0o700, "bundle": 0o600, "easymlnb.sqlite": 0o600,
        "run": 0o700, "link": 0,
    }  # fmt: skip
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_files_in_a_private_folder_are_closed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "service.json").write_text("x")
    make_private(state)
    assert modes(state) == {"state": 0o700, "service.json": 0o600}


@pytest.mark.parametrize("why", ["sticky", "home"])
def test_folder_for_several_accounts_is_left_and_warned_of(
    tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(private_folder.log, "warning", lambda *args: told.append(args[0]))
    if why == "home":
        monkeypatch.setenv("HOME", str(tmp_path))
        tmp_path.chmod(0o755)
    else:
        tmp_path.chmod(0o1777)
    make_private(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == (0o755 if why == "home" else 0o1777)
    assert len(told) == 1
