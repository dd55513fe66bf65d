"""The thread of a live kernel's link: it always reads, and sends what other threads post."""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from easymlnb.runtime.link import Link, LinkLost
from easymlnb.runtime.live.link_reader import LinkReader
from support.call_sink import WAIT

SIZE = 4


class Pair:
    """A link and its server; ``take`` gets the server's messages and by default echoes them."""

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
        self.link = Link(f"{scheme}://127.0.0.1:{port}/link", "", str(certificate or ""))
        self.peer: Any = self.peers.get(timeout=WAIT)
        self.pool = ThreadPoolExecutor(SIZE)
        self.take: Callable[[bytes], object] = self.echo
        self.reader = LinkReader(self.link, lambda data: self.take(data))
        self._running = threading.Thread(target=self._run)
        self._running.start()

    def _hold(self, connection: ServerConnection) -> None:
        self.peers.put(connection)
        self._over.wait(WAIT)

    def _run(self) -> None:
        with pytest.raises(LinkLost):
            self.reader.run()
        self.link.close()

    def echo(self, data: bytes) -> None:
        self.pool.submit(self.reader.post, data)

    def receive(self, size: int) -> bytes:
        """Return ``count`` bytes of what was posted, from any number of messages."""
        found = b""
        while len(found) < size:
            found += self.peer.recv(WAIT)
        return found

    def join(self) -> bool:
        self._running.join(WAIT)
        return not self._running.is_alive()

    def close(self) -> None:
        self.peer.close()
        assert self.join()
        self._over.set()
        self._server.shutdown()
        self._serving.join()
        self.pool.shutdown()


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


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Pair]:
    made = Pair(certificate if request.param == "tls" else None)
    yield made
    made.close()


def test_messages_of_all_sizes_are_answered_once(pair: Pair) -> None:
    sent = [bytes([n]) * size for n, size in enumerate((1, 70_000, 5, 3_000_000, 65_536))]
    sender = threading.Thread(target=lambda: [pair.peer.send(data) for data in sent])
    sender.start()
    found = pair.receive(sum(map(len, sent)))
    assert [found.count(data[:1]) for data in sent] == [len(data) for data in sent]
    sender.join()


def test_many_calls_are_each_answered_once(pair: Pair) -> None:
    sender = threading.Thread(target=lambda: [pair.peer.send(b"%05d" % n) for n in range(3000)])
    sender.start()
    found = pair.receive(3000 * 5)
    assert sorted(found[at : at + 5] for at in range(0, len(found), 5)) == [
        b"%05d" % n for n in range(3000)
    ]
    sender.join()


def test_it_reads_while_all_threads_of_the_pool_are_busy(pair: Pair) -> None:
    released, running = threading.Event(), Queue[int]()

    def job(data: bytes) -> None:
        running.put(1)
        released.wait(WAIT)
        pair.reader.post(data)

    def take(data: bytes) -> None:
        if data == b"stop":
            released.set()
        else:
            pair.pool.submit(job, data)

    pair.take = take
    for _ in range(3 * SIZE):
        pair.peer.send(b"x")
    for _ in range(SIZE):
        running.get(timeout=WAIT)
    pair.peer.send(b"stop")
    assert pair.receive(3 * SIZE) == b"x" * 3 * SIZE


def test_posted_messages_keep_their_order(pair: Pair) -> None:
    sent = [b"%d." % number for number in range(200)]
    for data in sent:
        pair.reader.post(data)
    assert pair.receive(sum(map(len, sent))) == b"".join(sent)


def test_posted_messages_are_sent_while_the_server_is_silent(pair: Pair) -> None:
    for number in range(50):
        pair.reader.post(b"%d" % number)
        assert pair.peer.recv(WAIT) == b"%d" % number


def test_the_end_of_the_link_does_not_wait_for_a_job(pair: Pair) -> None:
    released, began = threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        released.wait(WAIT)
        pair.reader.post(b"after the link")  # dropped without an error

    done: Queue[Any] = Queue()
    pair.take = lambda data: done.put(pair.pool.submit(job))
    pair.peer.send(b"x")
    assert began.wait(WAIT)
    pair.peer.close()
    assert pair.join()
    released.set()
    done.get(timeout=WAIT).result(WAIT)
