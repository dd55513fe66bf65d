"""A WebSocket to a node, directly on the event loop's transport.

All messages of a kernel pass here. The client in ``websockets`` needs several turns of the event
loop for each.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.uri import parse_uri

from easymlnb.contract.frame_connection import FrameConnection

OPEN_TIMEOUT = 5.0
"""Seconds to connect; a proxy that lost its routes may not respond at all."""

HEARTBEAT = 15.0
"""Seconds between two pings; after two without any data the connection is closed."""


class TunnelConnection(asyncio.Protocol):
    """A connection. ``closed`` is done when it has ended."""

    def __init__(
        self, url: str, headers: Mapping[str, str], on_message: Callable[[bytes], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._headers = headers
        self._on_message = on_message
        self._loop = loop
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._frames = FrameConnection(self._protocol, self._write, self._close_transport)
        self._transport: asyncio.Transport | None = None
        self._last_data = loop.time()
        self._heartbeat = loop.call_later(HEARTBEAT, self._ping)

    @classmethod
    async def connect(
        cls, url: str, headers: Mapping[str, str], on_message: Callable[[bytes], None]
    ) -> "TunnelConnection":
        """Connect. Raises ``InvalidStatus`` if the node refuses, else ``OSError``."""
        connection = cls(url, headers, on_message)
        parts = urlsplit(url)
        secure = ssl.create_default_context() if parts.scheme == "wss" else None
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                await loop.create_connection(lambda: connection, host, port, ssl=secure)
                await connection._opened
        except BaseException:
            connection.close()
            raise
        return connection

    def send(self, data: bytes) -> None:
        """Send a message; does nothing after the end of the connection."""
        if self._frames.is_open:
            self._frames.send(data)

    def close(self) -> None:
        self._heartbeat.cancel()
        if self._transport is not None:
            self._frames.close()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._frames.flush()

    def data_received(self, data: bytes) -> None:
        self._last_data = self._loop.time()
        for message in self._frames.receive(data):
            self._on_message(message)
        if not self._opened.done():
            refusal = self._protocol.handshake_exc
            if isinstance(refusal, InvalidStatus):
                self._opened.set_exception(refusal)
            elif refusal is not None:
                self._opened.set_exception(ConnectionError(str(refusal)))
            elif self._frames.is_open:
                self._opened.set_result(None)
        self._frames.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._heartbeat.cancel()
        if not self._opened.done():
            error = ConnectionError("The connection was closed before it opened.")
            self._opened.set_exception(error)
            self._opened.exception()  # marks it as retrieved: the waiter may be gone
        if not self.closed.done():
            self.closed.set_result(None)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _close_transport(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _ping(self) -> None:
        if self._loop.time() - self._last_data > 2 * HEARTBEAT:
            if self._transport is not None:
                self._transport.abort()
            return
        with contextlib.suppress(OSError):
            self._frames.ping()
        self._heartbeat = self._loop.call_later(HEARTBEAT, self._ping)
