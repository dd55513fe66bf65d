"""Routes that answer with server-sent events, and those of the generate extension."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.worker_protocol import LARGE, Item, Progress
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.calls.responses import StreamItems
from easymlnb_server.calls.stream_buffer import StreamBuffer, cut_if_stuck
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import custom_access_check
from easymlnb_server.protocols.oip import models
from easymlnb_server.protocols.oip.framing import JSON
from easymlnb_server.protocols.oip.handlers import InferHandler, body_content
from easymlnb_server.protocols.oip.streams import events, generation
from easymlnb_server.protocols.oip.streams.events import InferenceEvents, Written
from easymlnb_server.services.models import Target


class EventsHandler(InferHandler):
    """A handler that sends each item of a stream as soon as it is there.

    It is the ``EventSink`` of its call.
    """

    def initialize(self) -> None:
        super().initialize()
        self._outbox: StreamBuffer | None = None
        self._left = False

    def on_accepted(self, target: Target) -> None:
        """Note the version that answers."""
        self._target = target
        self.set_header(VERSION, target.version)

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Send an item."""
        if self._outbox is not None and not self._left:
            self._outbox.event(message, body)

    @property
    def answering(self) -> Target:
        assert self._target is not None
        return self._target

    async def send_events(self, request: CallRequest, item: Written, whole: Written) -> None:
        """Run a call, and send the response with each item, or with the whole result."""
        writer = InferenceEvents(self, lambda body: item(body, self.answering))
        outbox = self._outbox = StreamBuffer(writer, self.acknowledge)
        result = await self.invoke(request, self)
        if result.error is not None:
            writer.error(result.error)
        elif self.answering.spec.stream:
            writer.end()
        else:
            writer.put(await converted(await content(result), whole, self.answering))
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(), outbox.unsent + len(result.body))

    def on_connection_close(self) -> None:
        self._left = True
        super().on_connection_close()

    def on_finish(self) -> None:
        super().on_finish()
        self._outbox = None


class InferStreamHandler(EventsHandler):
    """``POST v2/models/{name}/infer_stream``, also of a version."""

    @custom_access_check
    async def post(self, name: str, version: str = "") -> None:
        models.check_plain(self.answering.spec, stream=True)
        request, inference = await self.tensor_call(name)
        request = msgspec.structs.replace(request, accept=events.as_json(request.accept))
        await self.send_events(
            request,
            partial(events.item_response, id=inference.id),
            partial(events.whole_response, id=inference.id),
        )


class GenerateHandler(EventsHandler):
    """``POST v2/models/{name}/generate`` and ``.../generate_stream``, also of a version."""

    def initialize(self, stream: bool = False) -> None:
        super().initialize()
        self._stream = stream
        self._items = StreamItems()

    @custom_access_check
    async def post(self, name: str, version: str = "") -> None:
        spec = self.answering.spec
        models.check_plain(spec, stream=True)
        body = await asyncio.to_thread(body_content, await self.unpacked(self.read_spooled_body()))
        arguments, id = await asyncio.to_thread(generation.arguments, spec, body)
        request = self.call_request(
            name,
            await self.spooled(arguments),
            accept="" if spec.stream else JSON,
            entry=Entry.OIP,
            version=self.version,
        )
        written = partial(generation.response, id=id)
        if self._stream:
            await self.send_events(request, written, written)
            return
        result = await self.invoke(request, self)
        if result.error is not None:
            raise result.error
        value = await content(result)
        if self.answering.spec.stream:
            value = await converted(self._items.as_list(), generation.joined)
        answer = await converted(value, written, self.answering)
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(answer), len(answer))

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Send an item, or keep it for the one response."""
        if self._stream:
            super().on_event(message, body)
        elif isinstance(message, Item):
            try:
                self._items.add(body)
                self.acknowledge(len(body))
            except EasyMLNBError as error:
                self.stop(error)


async def content(result: CallResult) -> bytes:
    """Return the bytes of a result, which is read in a thread if it is a file."""
    body = result.body
    if isinstance(body, bytes):
        return body
    try:
        return await asyncio.to_thread(body.read)
    finally:
        body.close()


async def converted(value: bytes, convert: Callable[..., bytes], *more: Target) -> bytes:
    """Return what a function makes of a result; a large one is converted in a thread."""
    if len(value) <= LARGE:
        return convert(value, *more)
    return await asyncio.to_thread(convert, value, *more)


def stream_routes(name: str, version: str) -> tuple[tuple[Any, ...], ...]:
    """Return the routes for the patterns of a service's name and of a version."""
    return tuple(
        (rf"v2/models/{name}{pinned}{end}", *handler)
        for pinned in ("", f"/versions/{version}")
        for end, *handler in (
            ("/infer_stream", InferStreamHandler),
            ("/generate", GenerateHandler),
            ("/generate_stream", GenerateHandler, {"stream": True}),
        )
    )
