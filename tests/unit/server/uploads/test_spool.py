"""Large bodies as files: counted, bounded, taken over, and gone with their server."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from easymlnb.contract.errors import StorageFull
from easymlnb_server.uploads import spool as module
from easymlnb_server.uploads.spool import PROBE, KernelFileShare, Spool

MB = 2**20


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    made = tmp_path / "memory"
    made.mkdir()
    return made


@pytest.fixture
def spool(tmp_path: Path, memory: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "disk", 4 * MB, memory)
    made.open()
    yield made
    made.close()


def files(folder: Path) -> list[str]:
    return [
        path.name for path in folder.rglob("*") if path.is_file() and path.name != "server.lock"
    ]


def test_what_is_written_is_read(spool: Spool) -> None:
    file = spool.create(11)
    file.write(b"first, ")
    file.write(b"then")
    assert (file.size, file.read(), file.read(7, 2)) == (11, b"first, then", b"th")
    assert file.path.read_bytes() == b"".join(file.chunks()) == b"first, then"


def test_a_closed_file_is_gone_and_may_be_closed_again(spool: Spool) -> None:
    file = spool.create()
    file.close()
    file.close()
    file.write(b"too late")
    assert not file.path.exists()


def test_the_last_reference_takes_the_file_with_it(spool: Spool) -> None:
    path = spool.create().path
    assert not path.exists()


def test_small_files_lie_in_memory_and_large_ones_on_disk(
    spool: Spool, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_FILE", MB)
    small, large, lasting = spool.create(MB), spool.create(MB + 1), spool.create_on_disk(1)
    assert small.in_memory
    assert small.path.is_relative_to(memory)
    assert not large.in_memory
    assert not lasting.path.is_relative_to(memory)


def test_no_more_than_the_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "disk", 4 * MB, None)
    spool.open()
    held = spool.create(3 * MB)
    held.write(b"x" * 3 * MB)
    with pytest.raises(StorageFull):
        spool.create(2 * MB)
    growing = spool.create()
    growing.write(b"x" * MB)
    with pytest.raises(StorageFull):
        growing.write(b"x")
    held.close()
    growing.write(b"x")
    spool.close()


def test_on_disk_what_is_only_announced_takes_no_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "disk", 4 * MB, None)
    spool.open()
    first, second = spool.create(3 * MB), spool.create(3 * MB)
    first.write(b"x" * 3 * MB)
    with pytest.raises(StorageFull):
        second.write(b"x" * 2 * MB)
    second.write(b"x" * MB)
    spool.close()


def test_a_file_at_rest_is_read_and_goes_on(spool: Spool) -> None:
    file = spool.create_on_disk()
    file.write(b"first, ")
    file.close_descriptor()
    assert file.read() == b"first, "
    file.write(b"then")
    file.close_descriptor()
    path = file.path
    assert b"".join(file.chunks()) == b"first, then"
    file.close()
    file.write(b"too late")
    assert not path.exists()


def test_a_full_disk_is_said(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE", 2**60)
    with pytest.raises(StorageFull):
        spool.create_on_disk(1)


def test_before_it_is_open_nothing_fits(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 4 * MB, None)
    assert spool.open_file_share() is None
    with pytest.raises(StorageFull):
        spool.create(1)


# rooms


@pytest.fixture
def room(spool: Spool) -> KernelFileShare:
    made = spool.open_file_share()
    assert made is not None
    return made


def test_only_a_reader_of_the_probe_proves_itself(room: KernelFileShare) -> None:
    assert room.is_proof(room.probe.read_bytes())
    assert not room.is_proof(b"")
    assert not room.is_proof(b"x" * 32)


def test_a_file_of_the_room_is_taken_over(room: KernelFileShare) -> None:
    path = Path(room.path) / "ab12"
    path.write_bytes(b"result")
    file = room.claim("ab12")
    assert (file.read(), file.size, path.exists()) == (b"result", 6, False)


@pytest.mark.parametrize(
    "name", ["", "nothing", "ffff", "../lock", "/etc/passwd", "a/b", "ab\n", "a" * 33, PROBE]
)
def test_other_names_are_refused(room: KernelFileShare, name: str) -> None:
    with pytest.raises(ValueError, match=r"file"):
        room.claim(name)
    assert room.probe.exists()


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder"])
def test_what_is_no_file_is_refused(room: KernelFileShare, kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = Path(room.path) / "ab"
    make: dict[str, Callable[[], None]] = {
        "link": lambda: path.symlink_to(secret),
        "second name": lambda: path.hardlink_to(secret),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    make[kind]()
    with pytest.raises(ValueError, match="file"):
        room.claim("ab")
    assert secret.read_text() == "secret"


def test_a_closed_room_leaves_nothing(room: KernelFileShare, memory: Path) -> None:
    (Path(room.path) / "ab").write_bytes(b"half of a result")
    room.close()
    room.close()
    assert files(memory) == []


# after a server

KILLED = """
import sys, time
from pathlib import Path
from easymlnb_server.uploads.spool import Spool
spool = Spool(Path(sys.argv[1]), 2**20, Path(sys.argv[2]))
spool.open()
held = [spool.create(10), spool.create_on_disk(10), spool.open_file_share()]
print("ready", flush=True)
time.sleep(60)
"""


def test_what_a_killed_server_left_goes_and_a_running_ones_stays(
    tmp_path: Path, memory: Path
) -> None:
    disk = tmp_path / "disk"
    running = Spool(disk, MB, memory)
    running.open()
    own = running.create(1)
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, disk, memory], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == "ready\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert len(list(disk.iterdir())) == len(list(memory.iterdir())) == 2
    following = Spool(disk, MB, memory)
    following.open()
    assert len(list(disk.iterdir())) == len(list(memory.iterdir())) == 2
    assert own.path.exists()
    for spool in (running, following):
        spool.close()
    assert list(disk.iterdir()) == list(memory.iterdir()) == []
