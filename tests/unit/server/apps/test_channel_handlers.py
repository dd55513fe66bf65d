"""The WebSocket of a page: what is written together, and when it ends."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect

from easymlnb.contract.page_protocol import ToPage
from easymlnb_server.apps import channel_handlers, jupyter_messages
from easymlnb_server.apps.channel_handlers import ChannelsHandler

TEXTS = [b'"first"', b'"%s"' % (b"x" * 70_000), '"\u00e9"'.encode()]


class Sessions:
    """Remembers how the page is reached."""

    def __init__(self) -> None:
        self.connected: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.disconnected = asyncio.Event()

    def connect(self, session: Any, to_page: Any, disconnect: Any) -> None:
        self.connected.set_result(to_page)

    def disconnect(self, session: Any, to_page: Any) -> None:
        self.disconnected.set()


class Handler(ChannelsHandler):
    """One whose visitor is known."""

    sessions: Sessions

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        pass

    def session(self, service: str, name: str) -> Any:
        return SimpleNamespace(service=service)

    @property
    def state(self) -> Any:
        return SimpleNamespace(apps=SimpleNamespace(sessions=self.sessions, message_limit=2**20))

    def check_origin(self, origin: str = "") -> bool:
        return True


@pytest.fixture
async def url() -> AsyncIterator[str]:
    Handler.sessions = Sessions()
    sock, port = bind_unused_port()
    server = HTTPServer(Application([(r"/(x)/(y)", Handler)]))
    server.add_socket(sock)
    yield f"ws://127.0.0.1:{port}/x/y"
    server.stop()
    await server.close_all_connections()


async def opened(url: str, v1: bool) -> tuple[WebSocketClientConnection, Any]:
    """Open a page; return its connection, and what sends it a message."""
    line = await websocket_connect(url, subprotocols=[jupyter_messages.V1] if v1 else None)
    return line, await Handler.sessions.connected


@pytest.mark.parametrize("v1", [True, False])
async def test_messages_arrive_whole_and_in_order(url: str, v1: bool) -> None:
    line, send = await opened(url, v1)
    for text in TEXTS:
        send(ToPage(kind="comm_msg", content=text))
    for text in TEXTS:
        message = await line.read_message()
        assert isinstance(message, bytes if v1 else str)
        assert message is not None
        assert jupyter_messages.read(message, v1).content == (
            text
            if v1
            else text.decode().encode("ascii", "backslashreplace").replace(b"\\xe9", b"\\u00e9")
        )
    line.close()
    await Handler.sessions.disconnected.wait()
    send(ToPage(kind="comm_msg", content=b"1"))  # the page is gone: not an error


async def test_page_that_reads_nothing_is_disconnected(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_handlers, "MAX_UNSENT", 100_000)
    line, send = await opened(url, v1=True)
    for _ in range(10):  # as many as were read
        send(ToPage(kind="comm_msg", content=TEXTS[1]))
        assert await line.read_message() is not None
    for _ in range(3):
        send(ToPage(kind="comm_msg", content=TEXTS[1]))
    assert await line.read_message() is None
    assert line.close_code == 1013
    line.close()
