"""The kernel's end of the WebSocket: connecting, waking, large and cut messages, its end."""

import os
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from queue import Queue
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from easymlnb.runtime.link import Link, LinkLost, LinkRefused

WAIT = 30.0


class Peer:
    """A server that takes one secret and keeps its connections for the test."""

    def __init__(self) -> None:
        self.connections: Queue[ServerConnection] = Queue()
        self._over = threading.Event()
        self._server = serve(self._hold, "127.0.0.1", 0, process_request=self._admit, max_size=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/link"

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers["Authorization"] == "easymlnb secret":
            return None
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no")

    def _hold(self, connection: ServerConnection) -> None:
        self.connections.put(connection)
        self._over.wait(WAIT)

    def next(self) -> ServerConnection:
        return self.connections.get(timeout=WAIT)

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def link(peer: Peer) -> Iterator[Link]:
    made = Link(peer.url, "secret")
    yield made
    made.close()


def receive(link: Link) -> list[bytes]:
    found: list[bytes] = []
    while not found:
        if link.ready(WAIT):
            found += link.receive()
    return found


def test_messages_both_ways(peer: Peer, link: Link) -> None:
    server = peer.next()
    link.send(b"to the server")
    assert server.recv(WAIT) == b"to the server"
    server.send(b"to the kernel")
    assert receive(link) == [b"to the kernel"]


def test_large_and_fragmented_messages_come_whole(peer: Peer, link: Link) -> None:
    server = peer.next()
    large = os.urandom(5_000_000)
    sender = threading.Thread(target=server.send, args=([large[:1], large[1:9], large[9:]],))
    sender.start()
    assert receive(link) == [large]
    sender.join()
    sender = threading.Thread(target=link.send, args=(large,))
    sender.start()
    assert server.recv(WAIT) == large
    sender.join()


def test_wrong_secret(peer: Peer) -> None:
    with pytest.raises(LinkRefused):
        Link(peer.url, "wrong")


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        Link(f"ws://127.0.0.1:{port}/link", "secret")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n", b"\0" * 99])
def test_somebody_else_there(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve_once)
        thread.start()
        with pytest.raises((LinkRefused, LinkLost)):
            Link(f"ws://127.0.0.1:{listener.getsockname()[1]}/link", "secret")
        thread.join()


def test_wake_ends_a_wait(link: Link) -> None:
    timer = threading.Timer(0.1, link.wake)
    timer.start()
    assert link.ready(WAIT) is False
    timer.join()


def test_waking_never_blocks(link: Link) -> None:
    for _ in range(200_000):  # more than a pipe holds
        link.wake()
    assert link.ready(WAIT) is False


def test_waking_a_closed_link_touches_no_other_file(peer: Peer) -> None:
    link = Link(peer.url, "secret")
    link.close()
    # The next files that are opened get the descriptors of the link.
    pipes = [os.pipe() for _ in range(8)]
    try:
        link.wake()
        for readable, writable in pipes:
            os.set_blocking(readable, False)
            with pytest.raises(BlockingIOError):
                os.read(readable, 1)
            assert os.write(writable, b"x") == 1
    finally:
        for pair in pipes:
            for number in pair:
                os.close(number)


@pytest.mark.parametrize("how", ["close", "cut"])
def test_end_of_the_server(peer: Peer, link: Link, how: str) -> None:
    server: Any = peer.next()
    if how == "close":
        threading.Thread(target=server.close).start()
    else:
        server.socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LinkLost):
        while True:
            receive(link)
    with pytest.raises(LinkLost):
        for _ in range(100):
            link.send(b"x" * 100_000)
