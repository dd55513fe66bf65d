"""Request bodies that are accepted only after caller and length are checked."""

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

SMALL = 2**20
"""Bytes of a refused body that are read all the same: a connection closed with a body unread is
reset, and the caller may never see the answer."""


@web.stream_request_body
class BodyHandler(EasyHandler):
    """A handler whose POST has a body. Who may not call, or announces too much, is told at once."""

    takes: ClassVar[str] = "POST"
    """The method that has the body."""

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = 0
        self._refused = False
        self._closing = False

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        # Tornado's own limit would close the connection without a word.
        cast("HTTP1Connection", self.request.connection).set_max_body_size(2**62)
        try:
            await super().prepare()
            if self.request.method == self.takes:
                self._limit = self.body_limit()
                self._check(int(self.request.headers.get("Content-Length", 0)))
        except Exception:
            await self._let_go()
            raise

    def body_limit(self) -> int:
        """Return how many bytes a body may have; raises to refuse the request before its body."""
        raise NotImplementedError

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._size += len(chunk)
        if self._refused or self._size > self._limit:
            # Nothing that is said from here would reach the caller; `take_body` says it.
            self._chunks.clear()
            if self._size > self._limit + SMALL:
                self._cut()
            return None
        return self.keep(chunk)

    def keep(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next part of the body in."""
        self._chunks.append(chunk)
        return None

    def take_body(self) -> bytes:
        """Return the whole body, once; raises ``TooLarge`` for one that did not say its length."""
        self.check_body()
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def check_body(self) -> None:
        """Raise ``TooLarge`` for a body that did not say its length and is over the limit."""
        self._check(self._size)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self._closing:
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise self._over(f"of {size:,} bytes ")

    def _over(self, size: str = "") -> TooLarge:
        return TooLarge(f"The request body {size}is over the limit of {self._limit:,} bytes.")

    def _cut(self) -> None:
        """Answer in the middle of a body that does not end, and close the connection."""
        error = self._over()
        error.request_id = self.request_id
        log.info("refused", extra={"request_id": self.request_id, "code": error.code})
        stream = self.request.connection.stream  # type: ignore[union-attr]
        with contextlib.suppress(StreamClosedError):
            stream.write(refusal(error))
        stream.close()

    async def _let_go(self) -> None:
        """Take a small body off the connection, so that it stays usable; end it for a large one.

        One that does not say its length counts as large.
        """
        headers = self.request.headers
        self._refused = True
        self._closing = (
            "Transfer-Encoding" in headers or int(headers.get("Content-Length", 0)) > SMALL
        )
        prepared, body = self._prepared_future, getattr(self.request, "_body_future", None)
        if not self._closing and prepared is not None and body is not None:
            prepared.set_result(None)
            with contextlib.suppress(StreamClosedError):  # who left needs no usable connection
                await body
