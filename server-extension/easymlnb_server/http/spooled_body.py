"""Request bodies that are written to a file once they are large."""

import asyncio
import copy
from collections.abc import Awaitable
from typing import Any, cast

from tornado.http1connection import HTTP1Connection

from easymlnb.contract.errors import EasyMLNBError, StorageFull
from easymlnb.contract.worker_protocol import LARGE
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.uploads.spool import SpooledFile

READ_CHUNK = 256 * 1024
"""Bytes that are read at once. Tornado copies them three times while everything else waits."""


class SpooledBodyHandler(BodyHandler):
    """A handler whose POST may have a large body; call ``drop_body`` at the end."""

    def initialize(self) -> None:
        super().initialize()
        self._file: SpooledFile | None = None
        self._spool_error: EasyMLNBError | None = None

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        await super().prepare(_redirect_to_login=_redirect_to_login)
        length = int(self.request.headers.get("Content-Length", 0))
        if self.request.method == "POST" and length > LARGE:
            read_large_chunks(self.request.connection)
            try:
                self._file = self._new_file(length)
            except EasyMLNBError:
                await self._discard_body()
                raise

    def store_chunk(self, chunk: bytes) -> Awaitable[None] | None:
        try:
            if self._file is None:
                super().store_chunk(chunk)
                if self._size > LARGE and self._spool_error is None:
                    self._spill()
                return None
            if not self._file.in_memory:
                return self._to_disk(self._file, chunk)
            self._file.write(chunk)
        except StorageFull as error:
            self._fail(error)
        return None

    def _new_file(self, size: int) -> SpooledFile:
        """Create the body's file; visitors share one limit. Raises ``StorageFull``."""
        if self.is_visitor or (self.page_token is not None and self.page_token.public):
            return self.state.spool.create_on_disk(size, visitor=True)
        return self.state.spool.create(size)

    def _spill(self) -> None:
        """Move the received part of a body of unknown length into a file."""
        self._file = self._new_file(self._size)
        for chunk in self._chunks:
            self._file.write(chunk)
        self._chunks.clear()

    async def _to_disk(self, file: SpooledFile, chunk: bytes) -> None:
        try:
            file.reserve(file.size + len(chunk))
            # A disk may be slow; the next part is read only after this one is written.
            await asyncio.to_thread(file.write, chunk)
            await self.state.spool.take_turn()
        except StorageFull as error:
            self._fail(error)

    def _fail(self, error: EasyMLNBError) -> None:
        # `read_spooled_body` raises it: the caller does not read before the end of the body.
        self._spool_error = error
        self._refused = True
        self.drop_body()

    def read_spooled_body(self) -> Body:
        """Return the whole body; raises ``TooLarge`` or ``StorageFull``."""
        if self._spool_error is not None:
            raise self._spool_error
        if self._file is None:
            return self.read_body()
        self.check_body()
        return FileBody(file=self._file)

    def drop_body(self) -> None:
        """Remove the body's file, if there is one; may be called repeatedly."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.drop_body()

    def on_finish(self) -> None:
        self.drop_body()


def read_large_chunks(connection: Any) -> None:
    """Read from this connection in larger chunks than Tornado's 64 KB."""
    own = cast("HTTP1Connection", connection)
    own.params = copy.copy(own.params)
    own.params.chunk_size = READ_CHUNK
    own.stream.read_chunk_size = READ_CHUNK


async def send_file(file: SpooledFile, write: Any, offset: int = 0) -> None:
    """Send a file, from ``offset`` on, by ``write``, at the speed of the receiver."""
    for chunk in file.chunks(offset):
        await write(chunk)
