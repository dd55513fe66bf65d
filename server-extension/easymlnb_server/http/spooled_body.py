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
from easymlnb_server.uploads.spool import CHUNK, SpooledFile


class SpooledBodyHandler(BodyHandler):
    """A handler whose POST has a body that may be large; ``drop_body`` it when all is done."""

    def initialize(self) -> None:
        super().initialize()
        self._file: SpooledFile | None = None
        self._wrong: EasyMLNBError | None = None

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        await super().prepare(_redirect_to_login=_redirect_to_login)
        length = int(self.request.headers.get("Content-Length", 0))
        if self.request.method == "POST" and length > LARGE:
            read_faster(self.request.connection)
            try:
                self._file = self._room(length)
            except EasyMLNBError:
                await self._let_go()
                raise

    def keep(self, chunk: bytes) -> Awaitable[None] | None:
        try:
            if self._file is None:
                super().keep(chunk)
                if self._size > LARGE and self._wrong is None:
                    self._spill()
                return None
            if not self._file.in_memory:
                return self._to_disk(self._file, chunk)
            self._file.write(chunk)
        except StorageFull as error:
            self._fail(error)
        return None

    def _room(self, size: int) -> SpooledFile:
        """Begin the body's file; those of visitors count together. Raises ``StorageFull``."""
        if self.held is not None and self.held.public:
            return self.state.spool.create_on_disk(size, visitor=True)
        return self.state.spool.create(size)

    def _spill(self) -> None:
        """Move what came so far, of a body that did not say its length, into a file."""
        self._file = self._room(self._size)
        for chunk in self._chunks:
            self._file.write(chunk)
        self._chunks.clear()

    async def _to_disk(self, file: SpooledFile, chunk: bytes) -> None:
        try:
            file.reserve(file.size + len(chunk))
            # A disk may be slow, and the next part is not read before this one lies there.
            await asyncio.to_thread(file.write, chunk)
        except StorageFull as error:
            self._fail(error)

    def _fail(self, error: EasyMLNBError) -> None:
        # Said by `take`: in the middle of a body nobody listens.
        self._wrong = error
        self._refused = True
        self.drop_body()

    def take(self) -> Body:
        """Return the whole body; raises ``TooLarge`` or ``StorageFull``."""
        if self._wrong is not None:
            raise self._wrong
        if self._file is None:
            return self.take_body()
        self.check_body()
        return FileBody(file=self._file)

    def drop_body(self) -> None:
        """Remove the body's file, if there is one; it may be called at any time, and again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.drop_body()

    def on_finish(self) -> None:
        self.drop_body()


def read_faster(connection: Any) -> None:
    """Read what this connection brings in larger pieces than Tornado's 64 KB."""
    own = cast("HTTP1Connection", connection)
    own.params = copy.copy(own.params)
    own.params.chunk_size = CHUNK
    own.stream.read_chunk_size = CHUNK


async def send_file(file: SpooledFile, write: Any) -> None:
    """Send a file by ``write``, never more at once than the receiver has taken."""
    for chunk in file.chunks():
        await write(chunk)
