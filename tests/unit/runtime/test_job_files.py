"""Files of a job on their way to the server, over links that end."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.job_protocol import (
    CheckpointPart,
    JobFile,
    JobFilePart,
    JobFileStored,
    JobPartStored,
    ReadCheckpoint,
)
from easymlnb.runtime import job_files
from easymlnb.runtime.job_files import CheckpointReader, FileSender

from .test_jobs import until


class Server:
    """The far end: it collects parts, and answers as far as ``answers`` says."""

    def __init__(self) -> None:
        self.answers = True
        self.got: list[Any] = []
        self.parts: dict[int, bytes] = {}
        self.stored: list[tuple[JobFile, bytes]] = []
        self.sender: FileSender

    def __call__(self, message: Any, body: bytes) -> None:
        self.got.append(message)
        number = message.number
        if isinstance(message, JobFilePart):
            had = self.parts.get(number, b"") if message.offset else b""
            assert len(had) == message.offset
            self.parts[number] = had + body
            if self.answers:
                offset = len(self.parts[number])
                self.tell(JobPartStored(id=1, number=number, offset=offset))
            return
        whole = self.parts.pop(number) if message.size else body
        assert not message.size or message.size == len(whole)
        self.stored.append((message, whole))
        if self.answers:
            self.tell(JobFileStored(id=1, number=number))

    def tell(self, message: Any) -> None:
        threading.Thread(target=self.sender.receive, args=(message,)).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(job_files, "FILE_PART", 1000)
    monkeypatch.setattr(job_files, "TICK", 0.01)
    made = Server()
    made.sender = FileSender(made, 1, lambda: "")
    yield made
    made.sender.close()


def write(path: Path, size: int) -> bytes:
    data = bytes(number % 251 for number in range(size))
    path.write_bytes(data)
    return data


def test_files_come_in_order_the_large_ones_in_parts(server: Server, tmp_path: Path) -> None:
    large = write(tmp_path / "large", 10_500)
    small = write(tmp_path / "small", 10)
    server.sender.add(tmp_path / "large", "a", checkpoint=False)
    server.sender.add(tmp_path / "small", "b", checkpoint=False)
    until(lambda: server.sender.idle)
    assert [(m.label, data) for m, data in server.stored] == [("a", large), ("b", small)]
    assert len([m for m in server.got if isinstance(m, JobFilePart)]) == 11
    assert not list(tmp_path.iterdir())


def test_a_sender_waits_for_a_slow_server(server: Server, tmp_path: Path) -> None:
    write(tmp_path / "large", 10_000)
    server.answers = False
    server.sender.add(tmp_path / "large", "a", checkpoint=False)
    until(lambda: len(server.got) == 4)
    server.tell(JobPartStored(id=1, number=1, offset=2000))
    until(lambda: len(server.got) == 6)
    assert not server.sender.idle


def test_a_new_link_begins_again(server: Server, tmp_path: Path) -> None:
    data = write(tmp_path / "large", 5000)
    server.answers = False
    server.sender.add(tmp_path / "large", "a", checkpoint=False)
    until(lambda: len(server.got) == 4)
    server.sender.lose_link()
    server.answers = True
    server.sender.use_link()
    until(lambda: server.sender.idle)
    assert [found for _, found in server.stored] == [data]


def test_a_newer_checkpoint_takes_the_place_of_one_that_waits(
    server: Server, tmp_path: Path
) -> None:
    for number in range(1, 5):
        write(tmp_path / f"c{number}", number)
        server.sender.add(tmp_path / f"c{number}", checkpoint=True)
        if number == 1:  # the first one is sent at once, the next ones once a minute
            until(lambda: len(server.stored) == 1)
    assert not server.sender.idle
    server.sender.hurry = True
    until(lambda: server.sender.idle)
    assert [len(data) for _, data in server.stored] == [1, 4]
    server.sender.hurry = False
    server.sender.add(tmp_path / "c2", checkpoint=True)
    server.sender.drop_checkpoints()
    assert server.sender.idle


def test_a_checkpoint_is_read_in_parts_and_checked(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10
    name = hashlib.sha256(data).hexdigest()
    asked: list[ReadCheckpoint] = []

    def answer(message: Any, body: bytes) -> None:
        asked.append(message)
        missing = message.file not in (name, "f" * 64)
        part = CheckpointPart(id=1, file=message.file, offset=message.offset, missing=missing)
        content = b"" if missing else data[message.offset : message.offset + 1000]
        threading.Thread(target=reader.receive, args=(part, content)).start()

    reader = CheckpointReader(answer, 1, lambda: True)
    path, other = tmp_path / "c", tmp_path / "d"
    assert reader.fetch(name, len(data), path) and path.read_bytes() == data
    assert [one.offset for one in asked] == [0, 1000, 2000]
    assert not reader.fetch("f" * 64, len(data), other)
    assert not reader.fetch("0" * 64, len(data), other)
    assert not other.exists()
