"""Request bodies, accepted only after the caller and the length were checked."""

import contextlib
import logging
from collections.abc import Awaitable
from typing import Any, ClassVar, cast

from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from easymlnb.contract.errors import TooLarge
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.refusals import refusal

log = logging.getLogger("easymlnb.requests")

MAX_DISCARDED = 2**20
"""Maximum bytes of a refused body that are still read. A connection that closes with unread bytes
is reset, and the caller may never see the response."""


@web.stream_request_body
class BodyHandler(EasyHandler):
    """A handler whose POST has a body. Unauthorized or too large requests are refused at once."""

    body_method: ClassVar[str] = "POST"
    """The HTTP method with a body."""

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = 0
        self._refused = False
        self._closing = False

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        # Above its own limit Tornado closes the connection without a response.
        cast("HTTP1Connection", self.request.connection).set_max_body_size(2**62)
        try:
            await super().prepare()
            if self.request.method == self.body_method:
                await self.before_body()
                self._limit = self.body_limit()
                self._check(int(self.request.headers.get("Content-Length", 0)))
        except Exception:
            await self._discard_body()
            raise

    async def before_body(self) -> None:
        """Prepare what ``body_limit`` needs; raises to refuse the request before its body."""

    def body_limit(self) -> int:
        """Return the maximum bytes of the body; raises to refuse the request before its body."""
        raise NotImplementedError

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._size += len(chunk)
        if self._refused or self._size > self._limit:
            # A response from here would not reach the caller; `read_body` raises the error.
            self._chunks.clear()
            if self._size > self._limit + MAX_DISCARDED:
                self._reject_midway()
            return None
        return self.store_chunk(chunk)

    def store_chunk(self, chunk: bytes) -> Awaitable[None] | None:
        """Store the next part of the body."""
        self._chunks.append(chunk)
        return None

    def read_body(self) -> bytes:
        """Return the whole body, once; raises ``TooLarge``, see ``check_body``."""
        self.check_body()
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def check_body(self) -> None:
        """Raise ``TooLarge`` for a body of unknown length that is over the limit."""
        self._check(self._size)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self._closing:
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise self._too_large(f"of {size:,} bytes ")

    def _too_large(self, size: str = "") -> TooLarge:
        return TooLarge(f"The request body {size}is over the limit of {self._limit:,} bytes.")

    def _reject_midway(self) -> None:
        """Respond before the end of an endless body, and close the connection."""
        error = self._too_large()
        error.request_id = self.request_id
        log.info("refused", extra={"request_id": self.request_id, "code": error.code})
        stream = self.request.connection.stream  # type: ignore[union-attr]
        with contextlib.suppress(StreamClosedError):
            stream.write(refusal(error))
        stream.close()

    async def _discard_body(self) -> None:
        """Read a small body, so that the connection stays usable; close it for a large one.

        A body of unknown length counts as large.
        """
        headers = self.request.headers
        self._refused = True
        self._closing = (
            "Transfer-Encoding" in headers or int(headers.get("Content-Length", 0)) > MAX_DISCARDED
        )
        prepared, body = self._prepared_future, getattr(self.request, "_body_future", None)
        if not self._closing and prepared is not None and body is not None:
            prepared.set_result(None)
            with contextlib.suppress(StreamClosedError):  # the caller disconnected
                await body
