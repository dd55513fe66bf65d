"""A worker that lost its server: whom it dials, with what, and for how long."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from ipykernel import parentpoller
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from easymlnb.contract.errors import NotLoggedIn
from easymlnb.contract.worker_protocol import ReconnectGrant
from easymlnb.runtime import server_address
from easymlnb.runtime.link import LinkLost
from easymlnb.runtime.server_address import ServerAddress

pytestmark = pytest.mark.slow


class Listener:
    """A server that records the secrets of incoming connections.

    With ``refuses`` it refuses with ``text`` until ``accept`` is called.
    """

    def __init__(self, *, refuses: bool = False, text: str = "") -> None:
        self._text = text
        self.secrets: Queue[str] = Queue()
        self._connections: list[ServerConnection] = []
        self._refuses = refuses
        self._server: Server = serve(
            self._take, "127.0.0.1", 0, compression=None, process_request=self._look
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/link"

    def _take(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self._connections.append(connection)
        self.secrets.put(connection.request.headers["Authorization"])
        for _ in connection:
            pass

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(401, self._text) if self._refuses else None

    def accept(self) -> None:
        self._refuses = False

    def close(self) -> None:
        self._server.shutdown()
        for connection in self._connections:  # older releases of websockets leave them open
            connection.close()


@pytest.fixture
def first() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def second() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


class Data:
    """The data folder, where servers say where they are."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = folder / "server.json"
        self._patch = monkeypatch

    def say(self, url: str, run: str) -> None:
        half = self.file.with_suffix(".half")
        half.write_text(json.dumps({"link": url, "cafile": "", "run": run}))
        half.replace(self.file)

    def start(self, url: str, *, with_file: bool = True) -> ServerAddress:
        """Return the home of a worker that was started with this address."""
        self._patch.setenv("EASYMLNB_LINK", url)
        self._patch.setenv("EASYMLNB_SECRET", "once")
        self._patch.setenv("EASYMLNB_HOME", str(self.file) if with_file else "")
        self._patch.setattr(server_address, "PAUSE", 0.01)
        return ServerAddress()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    return Data(tmp_path, monkeypatch)


BACK = ReconnectGrant(secret="again", seconds=60)
BRIEFLY = ReconnectGrant(secret="again", seconds=0.3)


def test_first_secret_is_used_once_and_leaves_the_environment(data: Data, first: Listener) -> None:
    data.say(first.url, "a")
    made = data.start(first.url)
    made.dial().close()
    assert first.secrets.get(timeout=20) == "easymlnb once"
    assert "EASYMLNB_SECRET" not in os.environ


def test_next_server_is_dialled_where_it_says_it_is(
    data: Data, first: Listener, second: Listener
) -> None:
    data.say(first.url, "a")
    made = data.start(first.url)
    data.say(second.url, "b")
    for run in ("c", "d"):  # and the one after it
        link = made.dial_again(BACK)
        assert link is not None
        link.close()
        assert second.secrets.get(timeout=20) == "easymlnb again"
        data.say(second.url, run)
    assert first.secrets.empty()


def test_nobody_is_dialled_who_only_has_the_old_address(data: Data, first: Listener) -> None:
    data.say(first.url, "a")
    made = data.start(first.url)
    assert made.dial_again(BRIEFLY) is None
    assert first.secrets.empty()


def test_a_server_that_runs_and_does_not_expect_the_worker_ends_it(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_address, "GIVE_UP_AFTER", 0.2)
    for text, gives_up in ((json.dumps(NotLoggedIn().to_dict()), True), ("A proxy.", False)):
        listener = Listener(refuses=True, text=text)
        made = data.start(listener.url, with_file=False)
        began = time.monotonic()
        assert made.dial_again(BACK if gives_up else BRIEFLY) is None
        assert time.monotonic() - began < BACK.seconds
        listener.close()


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_address_that_cannot_be_read_is_waited_for(data: Data, first: Listener, text: str) -> None:
    data.say(first.url, "a")
    made = data.start(first.url)
    data.file.write_text(text)
    assert made.dial_again(BRIEFLY) is None
    assert first.secrets.empty()


def test_refused_worker_dials_again(data: Data) -> None:
    refusing = Listener(refuses=True)
    try:
        made = data.start(refusing.url, with_file=False)
        timer = threading.Timer(0.3, refusing.accept)
        timer.start()
        link = made.dial_again(BACK)
        timer.join()
        assert link is not None
        link.close()
        assert refusing.secrets.get(timeout=20) == "easymlnb again"
    finally:
        refusing.close()


def test_server_that_is_not_there_yet_is_dialled_again(data: Data, first: Listener) -> None:
    data.say(first.url, "a")
    made = data.start(first.url)
    data.say("ws://127.0.0.1:1/link", "b")
    timer = threading.Timer(0.3, data.say, (first.url, "c"))
    timer.start()
    link = made.dial_again(BACK)
    timer.join()
    assert link is not None
    link.close()


def test_worker_without_such_a_file_dials_the_address_it_has(data: Data, first: Listener) -> None:
    made = data.start(first.url, with_file=False)
    link = made.dial_again(BACK)
    assert link is not None
    link.close()
    assert first.secrets.get(timeout=20) == "easymlnb again"


def test_link_that_is_lost_says_so(data: Data, first: Listener) -> None:
    data.say(first.url, "a")
    link = data.start(first.url).dial()
    first.close()
    with pytest.raises(LinkLost):
        while True:
            if link.ready(20):
                link.receive()
    link.close()


def test_the_watcher_of_ipykernel_does_not_see_that_the_parent_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parentpoller, "os", os)
    parent = os.getppid()
    server_address.outlive_parent()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    seen = vars(parentpoller)["os"]
    assert seen.getppid() == parent
    assert seen._exit is os._exit
