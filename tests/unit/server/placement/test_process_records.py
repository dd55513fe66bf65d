"""Folders of workers' sockets whose server was killed."""

import os
import socket
import time
from pathlib import Path

import pytest

from easymlnb_server.placement import process_records
from easymlnb_server.placement.process_records import ABANDONED_AFTER, HOST, HUB_SOCKETS


@pytest.fixture(autouse=True)
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_records, "_roots", lambda: [tmp_path])
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short


def folder(
    name: str, *, listens: bool, age: float = 2 * ABANDONED_AFTER, host: str = ""
) -> socket.socket:
    """Make a folder with a socket, and return the socket."""
    Path(name).mkdir()
    (Path(name) / HOST).write_text(host or socket.gethostname())
    made = socket.socket(socket.AF_UNIX)
    made.bind(f"{name}/k-1")
    if listens:
        made.listen()
    else:
        made.close()
    os.utime(name, (time.time() - age,) * 2)
    return made


def test_only_folders_without_a_listener_are_removed(tmp_path: Path) -> None:
    folder("emnb-dead", listens=False)
    folder("emnb-new", listens=False, age=0)
    folder(f"{HUB_SOCKETS}node", listens=False)
    (tmp_path / "emnb-empty").mkdir()
    (tmp_path / "emnb-link").symlink_to("/")
    folder("other", listens=False)
    folder("emnb-elsewhere", listens=False, host="another machine")
    with folder("emnb-alive", listens=True):
        process_records.remove_abandoned_folders()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "emnb-alive",
        "emnb-elsewhere",
        "emnb-empty",
        f"{HUB_SOCKETS}node",
        "emnb-link",
        "emnb-new",
        "other",
    }


def test_a_new_folder_names_its_machine() -> None:
    assert (process_records.socket_folder() / HOST).read_text() == socket.gethostname()
