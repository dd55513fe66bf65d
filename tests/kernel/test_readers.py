"""Threads that take turns at one link: who reads runs, and somebody always reads."""

import select
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from sink import WAIT
from websockets.sync.server import ServerConnection, serve

from easymlnb.runtime.readers import Job, Readers
from easymlnb.runtime.shared import SharedLink

SIZE = 4


class Pair:
    """A link and its server; ``take`` answers the server's messages with jobs."""

    def __init__(self, certificate: Path | None = None) -> None:
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        self.peers: Queue[ServerConnection] = Queue()
        self._over = threading.Event()
        self._server = serve(self._hold, "127.0.0.1", 0, ssl=context, max_size=None)
        self._serving = threading.Thread(target=self._server.serve_forever)
        self._serving.start()
        port = self._server.socket.getsockname()[1]
        scheme = "ws" if certificate is None else "wss"
        self.link = SharedLink(f"{scheme}://127.0.0.1:{port}/link", "", str(certificate or ""))
        self.peer: Any = self.peers.get(timeout=WAIT)
        self.take: Callable[[bytes], list[Job]] = lambda data: [lambda: self.readers.send(data)]
        self.readers = Readers(self.link, lambda data: self.take(data), SIZE)
        self._running = threading.Thread(target=self._run)
        self._running.start()

    def _hold(self, connection: ServerConnection) -> None:
        self.peers.put(connection)
        self._over.wait(WAIT)

    def _run(self) -> None:
        self.readers.run()
        self.link.close()

    def heard(self, count: int) -> list[bytes]:
        return [self.peer.recv(WAIT) for _ in range(count)]

    def join(self) -> bool:
        self._running.join(WAIT)
        return not self._running.is_alive()

    def close(self) -> None:
        self.peer.close()
        assert self.join()
        self._over.set()
        self._server.shutdown()
        self._serving.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout {path} -out {path}.crt",
        shell=True,
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture(params=["plain", "in turn", "tls"])
def pair(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> Iterator[Pair]:
    if request.param == "in turn":  # systems without epoll
        monkeypatch.delattr(select, "epoll")
    made = Pair(certificate if request.param == "tls" else None)
    yield made
    made.close()


def test_messages_of_all_sizes_are_answered_once(pair: Pair) -> None:
    sent = [bytes([n % 251]) * size for n, size in enumerate((1, 70_000, 5, 3_000_000, 65_536))]
    sender = threading.Thread(target=lambda: [pair.peer.send(data) for data in sent])
    sender.start()
    assert sorted(pair.heard(len(sent))) == sorted(sent)
    sender.join()


def test_a_storm_is_answered_once(pair: Pair) -> None:
    def ask() -> None:
        for number in range(3000):
            pair.peer.send(b"%d" % number)

    asker = threading.Thread(target=ask)
    asker.start()
    assert sorted(map(int, pair.heard(3000))) == list(range(3000))
    asker.join()


def test_somebody_reads_while_as_many_run_as_may(pair: Pair) -> None:
    hold, running = threading.Event(), Queue[int]()

    def take(data: bytes) -> list[Job]:
        if data == b"stop":
            hold.set()
            return []

        def job() -> None:
            running.put(1)
            hold.wait(WAIT)
            pair.readers.send(data)

        return [job]

    pair.take = take
    for number in range(3 * SIZE):
        pair.peer.send(b"%d" % number)
    for _ in range(SIZE):
        running.get(timeout=WAIT)
    time.sleep(0.1)
    assert running.empty()  # no more than that at once
    pair.peer.send(b"stop")
    assert sorted(map(int, pair.heard(3 * SIZE))) == list(range(3 * SIZE))


def test_several_jobs_of_one_message_run_at_once(pair: Pair) -> None:
    together = threading.Barrier(3)

    def job() -> None:
        together.wait(WAIT)
        pair.readers.send(b"done")

    pair.take = lambda data: [job] * 3
    pair.peer.send(b"go")
    assert pair.heard(3) == [b"done"] * 3


def test_what_is_posted_goes_before_what_is_sent_later(pair: Pair) -> None:
    for number in range(200):
        pair.readers.post(b"%d." % number)
    pair.readers.send(b"end")
    heard = b""
    while not heard.endswith(b"end"):
        heard += pair.peer.recv(WAIT)
    assert heard == b"".join(b"%d." % number for number in range(200)) + b"end"


def test_what_is_posted_is_sent_though_nobody_sends(pair: Pair) -> None:
    for number in range(50):
        pair.readers.post(b"%d" % number)
        assert pair.heard(1) == [b"%d" % number]


def test_the_end_of_the_link_does_not_wait_for_a_job(pair: Pair) -> None:
    hold, runs = threading.Event(), Queue[threading.Thread]()

    def job() -> None:
        runs.put(threading.current_thread())
        hold.wait(WAIT)
        pair.readers.send(b"to nobody")

    pair.take = lambda data: [job]
    pair.peer.send(b"x")
    reader = runs.get(timeout=WAIT)
    pair.peer.close()
    assert pair.join()
    hold.set()
    reader.join(WAIT)
    assert not reader.is_alive()
