"""A WebSocket to a node on the event loop's own transport, without tasks.

Every message of a kernel passes here; ``websockets``' own client needs several turns of the event
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
"""Seconds to connect; a proxy that has not got its routes back may not answer at all."""

BEAT = 15.0
"""Seconds between two pings, and that an answer may take before the connection is made anew."""


class TunnelConnection(asyncio.Protocol):
    """One connection; ``take`` gets every message. ``ended`` is done when it has ended."""

    def __init__(self, url: str, headers: Mapping[str, str], take: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._url = url
        self._headers = headers
        self._take = take
        self._loop = loop
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._frames = FrameConnection(self._protocol, self._write, self._end)
        self._transport: asyncio.Transport | None = None
        self._heard = loop.time()
        self._beat = loop.call_later(BEAT, self._ping)

    @classmethod
    async def to(
        cls, url: str, headers: Mapping[str, str], take: Callable[[bytes], None]
    ) -> "TunnelConnection":
        """Connect. Raises ``InvalidStatus`` by another answer, else ``OSError``."""
        line = cls(url, headers, take)
        parts = urlsplit(url)
        secure = ssl.create_default_context() if parts.scheme == "wss" else None
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                await loop.create_connection(lambda: line, host, port, ssl=secure)
                await line._opened
        except BaseException:
            line.close()
            raise
        return line

    def write(self, data: bytes) -> None:
        """Send one message; nothing happens once the connection has ended."""
        if self._frames.is_open:
            self._frames.send(data)

    def close(self) -> None:
        self._beat.cancel()
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
        self._heard = self._loop.time()
        for message in self._frames.receive(data):
            self._take(message)
        refused = self._protocol.handshake_exc
        if not self._opened.done():
            if refused is not None:
                known = isinstance(refused, InvalidStatus)
                self._opened.set_exception(refused if known else ConnectionError(str(refused)))
            elif self._frames.is_open:
                self._opened.set_result(None)
        self._frames.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._beat.cancel()
        if not self._opened.done():
            self._opened.set_exception(
                ConnectionError("The connection was closed before it opened.")
            )
            self._opened.exception()  # whoever waited for it may be gone
        if not self.ended.done():
            self.ended.set_result(None)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _end(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _ping(self) -> None:
        if self._loop.time() - self._heard > 2 * BEAT:
            if self._transport is not None:
                self._transport.abort()
            return
        with contextlib.suppress(OSError):
            self._frames.ping()
        self._beat = self._loop.call_later(BEAT, self._ping)
