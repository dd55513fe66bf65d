"""Send files that are read in chunks."""

import asyncio
import contextlib
from collections.abc import Callable

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler


async def send_chunks(handler: RequestHandler, read: Callable[[], bytes]) -> None:
    """Send what ``read`` returns until it returns no bytes, then finish the response.

    ``read`` runs in a thread. If the caller leaves, the rest is not read.
    """
    with contextlib.suppress(StreamClosedError):
        while chunk := await asyncio.to_thread(read):
            handler.write(chunk)
            await handler.flush()
        handler.finish()
