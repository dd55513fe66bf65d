"""Results of calls as messages of gRPC: one response, or one for each item of a stream."""

import asyncio
from typing import Any

from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.protocols.oip.rpc import translation
from easymlnb_server.services.models import Target
from easymlnb_server.uploads.spool import SpooledFile


async def to_message(result: CallResult, target: Target, id: str) -> Any:
    """Return the message of a result; ``None`` after the items of a stream."""
    if result.error is not None:
        raise result.error
    assert result.result is not None
    if target.spec.stream:
        return None
    body = result.body
    if isinstance(body, SpooledFile):
        try:
            data = await asyncio.to_thread(body.read)
        finally:
            body.close()
    else:
        data = body
    return translation.to_response(
        result.result.content_type, data, target.name, target.version, id
    )


class ItemStream:
    """The ``EventSink`` of a stream: its items as responses, as fast as the caller takes them."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._target: Target | None = None
        self.invocation: Invocation | None = None
        self.queue: asyncio.Queue[tuple[Any, int] | None] = asyncio.Queue()

    def on_accepted(self, target: Target) -> None:
        """Note the version that answers."""
        self._target = target

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Keep an item until the caller takes it."""
        if isinstance(message, Item) and self._target is not None:
            target = self._target
            response = translation.item_response(body, target.name, target.version, self._id)
            self.queue.put_nowait((response, len(body)))

    def acknowledge(self, size: int) -> None:
        """Note that the caller took an item of ``size`` bytes."""
        if self.invocation is not None:
            self.invocation.acknowledge(size)
