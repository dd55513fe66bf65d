"""Slow readers: the generator waits for them, and no process's memory grows meanwhile."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.kernels import NotebookKernel
from support.misbehaving import error
from support.notebooks import make_notebook
from support.server import TOKEN, RunningServer, running_server

ITEMS = 100_000
SIZE = 10_000
ROOM = 60 * 2**20
"""Bytes that memory may grow by; all items together are a gigabyte."""

SOURCE = """
import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
import easymlnb as ml

@ml.service(timeout={timeout})
def {name}(n: int, size: int, told: str = "") -> Iterator[str]:
    done = 0
    try:
        for done in range(n):
            ml.progress(done / n)
            yield "x" * size
    finally:
        if told:
            Path(told).write_text(str(done))

@ml.service(timeout={timeout})
async def {name}_async(n: int, size: int, told: str = "") -> AsyncIterator[str]:
    done = 0
    try:
        for done in range(n):
            yield "x" * size
    finally:
        if told:
            Path(told).write_text(str(done))

@ml.service
def {name}_free() -> int:
    return 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    notebook = make_notebook(SOURCE.format(name="pours", timeout=120))
    with running_server(tmp_path_factory.mktemp("backpressure"), notebook) as server:
        yield server


class Reader:
    """A caller with a small receive buffer, who reads on request."""

    def __init__(
        self, server: RunningServer, service: str, accept: str = "", **values: Any
    ) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self._socket.connect(("127.0.0.1", server.port))
        self._socket.settimeout(60)
        timeout = values.pop("timeout", None)
        body = json.dumps(values).encode()
        head = (
            f"POST /easymlnb/services/{service}/call HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: token {TOKEN}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        )
        head += f"Accept: {accept}\r\n" if accept else ""
        head += f"X-Timeout: {timeout}\r\n" if timeout else ""
        self._socket.sendall(head.encode() + b"\r\n" + body)

    def read(self, size: int = 2**20) -> bytes:
        return self._socket.recv(size)

    def rest(self) -> int:
        """Read to the end; returns how many bytes there were."""
        total = 0
        while data := self.read():
            total += len(data)
        return total

    def close(self) -> None:
        self._socket.close()


def family(server: RunningServer) -> dict[psutil.Process, int]:
    """Return the memory of the server and all its kernels."""
    assert server.process is not None
    root = psutil.Process(server.process.pid)
    return {one: one.memory_info().rss for one in (root, *root.children(recursive=True))}


def assert_flat(before: dict[psutil.Process, int], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for process, size in before.items():
            assert process.memory_info().rss < size + ROOM, process
        time.sleep(0.2)


@pytest.mark.parametrize("service", ["pours", "pours_async"])
@pytest.mark.parametrize("accept", ["", "text/event-stream"])
def test_reader_who_reads_nothing_costs_no_memory(
    server: RunningServer, tmp_path: Path, service: str, accept: str
) -> None:
    told = tmp_path / "told"
    server.call("pours_free")
    before = family(server)
    reader = Reader(server, service, accept, n=ITEMS, size=SIZE, told=str(told))
    assert reader.read(1000).startswith(b"HTTP/1.1 200")
    assert_flat(before, 3)
    reader.close()
    server.wait_for(told.exists, "closing the connection did not close the generator")
    server.wait_for(told.read_text, "it wrote nothing")
    assert int(told.read_text()) * SIZE < 30 * 2**20  # it waited for its reader
    assert server.call("pours_free").json() == 1


def test_reader_who_pauses_gets_everything(server: RunningServer) -> None:
    many = 2000
    before = family(server)
    reader = Reader(server, "pours", n=many, size=SIZE)
    got = 0
    for _ in range(5):
        time.sleep(0.3)
        got += len(reader.read(SIZE))
    got += reader.rest()
    reader.close()
    assert many * (SIZE + 3) < got < many * (SIZE + 40) + 10_000
    assert_flat(before, 0.1)


def test_other_calls_go_on_while_a_coroutine_waits_for_its_reader(server: RunningServer) -> None:
    reader = Reader(server, "pours_async", n=ITEMS, size=SIZE)
    reader.read(1000)
    for _ in range(20):
        assert server.call("pours_free").json() == 1
    reader.close()


def test_deadline_ends_a_stream_whose_reader_is_stuck(
    server: RunningServer, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    # Time enough to begin, too: a call that never began has nothing to close.
    reader = Reader(server, "pours", n=ITEMS, size=SIZE, told=str(told), timeout=4)
    server.wait_for(told.exists, "the deadline did not end the generator")
    assert server.call("pours_free").json() == 1
    reader.close()


def test_stream_that_is_too_long_for_one_answer(server: RunningServer) -> None:
    before = family(server)
    answer = server.http.post(
        "services/pours/call",
        json={"n": ITEMS, "size": SIZE},
        headers={"Accept": "application/json"},
    )
    assert (answer.status_code, error(answer)) == (406, "stream_too_large")
    assert "application/jsonl" in answer.json()["error"]["message"]
    assert server.call("pours_free").json() == 1
    for process, size in before.items():
        assert process.memory_info().rss < size + 3 * ROOM


@pytest.mark.parametrize("service", ["live_pours", "live_pours_async"])
def test_live_service(server: RunningServer, tmp_path: Path, service: str) -> None:
    kernel = NotebookKernel(server.http)
    try:
        kernel.run(SOURCE.format(name="live_pours", timeout=120))
        told = tmp_path / "told"
        before = family(server)
        reader = Reader(server, service, n=ITEMS, size=SIZE, told=str(told))
        assert reader.read(1000).startswith(b"HTTP/1.1 200")
        assert_flat(before, 2)
        reader.close()
        server.wait_for(told.exists, "closing the connection did not close the generator")
        assert server.call("live_pours_free").json() == 1
    finally:
        kernel.close()
