"""Request bodies that are taken in only after the caller and the length were checked."""

from typing import cast

from tornado import web
from tornado.http1connection import HTTP1Connection

from easymlnb.contract.errors import TooLarge
from easymlnb_server.handlers.base import EasyHandler


@web.stream_request_body
class BodyHandler(EasyHandler):
    """A handler whose POST has a body. Who may not call, or sends too much, is told at once."""

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = 0

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        await super().prepare()
        if self.request.method == "POST":
            self._limit = self.body_limit()
            # Tornado's own limit would close the connection without a word.
            cast("HTTP1Connection", self.request.connection).set_max_body_size(2**62)
            self._check(int(self.request.headers.get("Content-Length", 0)))

    def body_limit(self) -> int:
        """Return how many bytes a body may have; raises to refuse the request before its body."""
        raise NotImplementedError

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._check(self._size)
        self._chunks.append(chunk)

    def take_body(self) -> bytes:
        """Return the whole body, once."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _check(self, size: int) -> None:
        if size > self._limit:
            self._chunks.clear()
            raise TooLarge(
                f"The body of {size:,} bytes is over the limit of {self._limit:,} bytes here."
            )
