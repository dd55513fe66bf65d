"""An author's kernel and its link, against a server that speaks only the protocol."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import Queue

import pytest
from websockets.sync.server import ServerConnection, serve

from easymlnb.contract.worker_protocol import (
    Call,
    Cancel,
    Drain,
    Failure,
    Hello,
    Register,
    Result,
    ToServer,
    pack,
    unpack_to_server,
)
from support.call_sink import WAIT

pytestmark = pytest.mark.slow

KERNEL = """
import sys, threading, time
from easymlnb.runtime.live import session
from easymlnb.services.definition import SERVICES, define

released = threading.Event()

def waits() -> int:
    released.wait()
    return 1

def release() -> int:
    released.set()
    return 2

def spins() -> int:
    while True:
        pass

for function in (waits, release, spins):
    SERVICES[function.__name__] = define(function)
session.link()
sys.stdin.read()
"""


class Server:
    """A server that takes the links of one kernel, one after the other."""

    def __init__(self) -> None:
        self._links: Queue[ServerConnection] = Queue()
        self._over = threading.Event()
        self._server = serve(self._hold, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        address = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/easymlnb/link"
        self.kernel = subprocess.Popen(
            [sys.executable, "-c", KERNEL],
            env={**os.environ, "EASYMLNB_LINK": address, "EASYMLNB_SECRET": "secret"},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _hold(self, link: ServerConnection) -> None:
        self._links.put(link)
        self._over.wait(WAIT)

    def accept(self) -> ServerConnection:
        """Return the next link, after its kernel has offered its services."""
        link = self._links.get(timeout=WAIT)
        (hello, _), (offer, _) = unpack_to_server(_received(link))
        assert isinstance(hello, Hello)
        assert hello.live
        assert isinstance(offer, Register)
        assert {spec.name for spec in offer.specs} == {"waits", "release", "spins"}
        return link

    def close(self) -> None:
        self.kernel.kill()
        self.kernel.communicate()
        self._over.set()
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def _received(link: ServerConnection) -> bytes:
    data = link.recv(WAIT)
    assert isinstance(data, bytes)
    return data


def ends(link: ServerConnection, count: int) -> dict[int, ToServer]:
    """Return the results of ``count`` calls by their IDs."""
    found: dict[int, ToServer] = {}
    while len(found) < count:
        for message, _ in unpack_to_server(_received(link)):
            assert isinstance(message, Result | Failure)
            assert message.id not in found
            found[message.id] = message
    return found


def call(link: ServerConnection, number: int, name: str) -> None:
    link.send(pack(Call(id=number, service=name), b"{}"))


def test_an_answer_is_not_sent_over_the_next_link(server: Server) -> None:
    first = server.accept()
    call(first, 1, "waits")
    call(first, 2, "spins")
    first.close()
    second = server.accept()
    call(second, 3, "release")
    call(second, 4, "waits")
    assert set(ends(second, 2)) == {3, 4}


@pytest.mark.parametrize("message", [pack(Drain()), b"no frame", pack(Hello(kernel="", source=""))])
def test_the_kernel_dials_again(server: Server, message: bytes) -> None:
    server.accept().send(message)
    link = server.accept()
    call(link, 1, "release")
    assert set(ends(link, 1)) == {1}


def test_a_computing_call_is_cancelled_and_others_are_answered(server: Server) -> None:
    link = server.accept()
    call(link, 1, "spins")
    call(link, 2, "release")
    assert isinstance(ends(link, 1)[2], Result)
    link.send(pack(Cancel(id=1)))
    cancelled = ends(link, 1)[1]
    assert isinstance(cancelled, Failure)
    assert cancelled.code == "cancelled"


def test_the_kernel_ends_quietly(server: Server) -> None:
    link = server.accept()
    call(link, 1, "release")
    ends(link, 1)
    _, errors = server.kernel.communicate(timeout=WAIT)
    assert (server.kernel.returncode, errors) == (0, b"")
