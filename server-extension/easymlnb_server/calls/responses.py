"""Write the result of a call: single response, server-sent events, or JSON lines."""

import json
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

from easymlnb.contract.errors import EasyMLNBError, StreamTooLarge
from easymlnb.contract.worker_protocol import Item, Progress, Result
from easymlnb_server.dispatch.call import models_text

EVENTS = "text/event-stream"
LINES = "application/jsonl"
MODEL = "X-Easymlnb-Model"

COLLECTED = 64 * 2**20
"""Bytes of a stream's items that are collected into one answer at most."""


class ResponseOutput(Protocol):
    """The part of a handler that writes."""

    def set_header(self, name: str, value: str) -> None: ...
    def write(self, chunk: bytes) -> None: ...
    def flush(self) -> Any: ...


class StreamItems:
    """The items of a stream, for the one result at its end."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._size = 0

    def add(self, body: bytes) -> None:
        """Keep an item; raises ``StreamTooLarge``."""
        self._size += len(body) + 64  # a small item takes more memory than its bytes
        if self._size > COLLECTED:
            self._bodies.clear()
            raise StreamTooLarge(COLLECTED)
        self._bodies.append(body)

    def as_list(self) -> bytes:
        """Return all items as one JSON array."""
        return b"[" + b",".join(self._bodies) + b"]"


class SingleResponse:
    """One body when all is done; a stream's items become a JSON array."""

    def __init__(self, out: ResponseOutput, stream: bool) -> None:
        self._out = out
        self._stream = stream
        self._items = StreamItems()

    def flush(self) -> Any:
        """Nothing is sent before the end."""

    def models(self, text: str) -> None:
        """Name the models that the call has used in a header."""
        self._out.set_header(MODEL, text)

    def event(self, message: Progress | Item, body: bytes) -> None:
        """Keep an item; raises ``StreamTooLarge``."""
        if isinstance(message, Item):
            self._items.add(body)

    def result(self, message: Result, body: bytes) -> None:
        self._head(message)
        self._out.write(self._items.as_list() if self._stream else body)

    def begin(self, message: Result, size: int) -> None:
        """Write what precedes a result of ``size`` bytes that arrives in pieces."""
        self._head(message)
        self._out.set_header("Content-Length", str(size))

    def end(self) -> None:
        """Write what follows the result."""

    def _head(self, message: Result) -> None:
        self._out.set_header("Content-Type", message.content_type)
        if message.filename:
            self._out.set_header("Content-Disposition", attachment(message.filename))

    def error(self, error: EasyMLNBError) -> None:
        raise error


class JsonLinesResponse:
    """Each item of a stream as a line of JSON, as soon as it is there."""

    media_type: ClassVar[str] = LINES

    def __init__(self, out: ResponseOutput) -> None:
        self._out = out
        self._begun = False

    def flush(self) -> Any:
        """Send what was written; the future is done when it is sent."""
        return self._out.flush()

    def models(self, text: str) -> None:
        """Name the models in a header, if that is not sent; it is with the first item."""
        if not self._begun:
            self._out.set_header(MODEL, text)

    def event(self, message: Progress | Item, body: bytes) -> None:
        """Write an item; it is sent with the next ``flush``."""
        if isinstance(message, Item):
            if message.models:
                self.models(models_text(message.models))
            self._begin()
            self._out.write(self.line(body))

    def line(self, body: bytes) -> bytes:
        """Return what is sent for an item, or for an error after the first of them."""
        return body + b"\n"

    def result(self, message: Result, body: bytes) -> None:
        self._begin()

    def begin(self, message: Result, size: int) -> None:
        self._begin()

    def end(self) -> None:
        """A stream's result is empty; its items were written."""

    def error(self, error: EasyMLNBError) -> None:
        if not self._begun:
            raise error
        # The status is sent already; the last line says that the stream is not complete.
        self._out.write(self.line(json.dumps(error.to_dict()).encode()))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._out.set_header("Content-Type", self.media_type)


class EventStreamResponse:
    """Server-sent events ``waiting``, ``progress``, ``item``, then ``result`` or ``error``.

    Before the last one, ``model`` names the models that the call used. A call that ends at once is
    one write: ``wait_with_events`` sends the head if it takes longer.
    """

    def __init__(self, out: ResponseOutput) -> None:
        self._out = out
        out.set_header("Content-Type", EVENTS)
        # Proxies that collect an answer would hold progress back.
        out.set_header("X-Accel-Buffering", "no")

    def ping(self) -> None:
        """Keep proxies from taking a silent call for a dead one."""
        self._out.write(b":\n\n")
        self._out.flush()

    def flush(self) -> Any:
        """Send what was written; the future is done when it is sent."""
        return self._out.flush()

    def event(self, message: Progress | Item, body: bytes) -> None:
        """Write an event; it is sent with the next ``flush``."""
        if isinstance(message, Item):
            self._put("item", body)
        else:
            told = {"fraction": message.fraction, "text": message.text}
            self._put("progress", json.dumps(told).encode())

    def models(self, text: str) -> None:
        """Name the models that the call has used; headers were sent before it ran."""
        self._put("model", json.dumps(text).encode())

    def waiting(self, place: dict[str, Any]) -> None:
        """Send the position of the call in its queue, or what it is waiting for."""
        self._put("waiting", json.dumps(place).encode())
        self._out.flush()

    def result(self, message: Result, body: bytes) -> None:
        self._put("result", body or b"null")

    def begin(self, message: Result, size: int) -> None:
        self._out.write(b"event: result\ndata: ")

    def end(self) -> None:
        self._out.write(b"\n\n")

    def error(self, error: EasyMLNBError) -> None:
        self._put("error", json.dumps(error.to_dict()).encode())

    def _put(self, event: str, data: bytes) -> None:
        # JSON as we write it holds no line breaks, so one data line carries it.
        self._out.write(b"event: " + event.encode() + b"\ndata: " + data + b"\n\n")


Writer = SingleResponse | JsonLinesResponse | EventStreamResponse


def writer(out: ResponseOutput, accept: str, stream: bool) -> Writer:
    """Choose by ``Accept``; streams are JSON lines unless JSON or events are asked for."""
    if EVENTS in accept:
        return EventStreamResponse(out)
    if stream and "application/json" not in accept.replace(LINES, ""):
        return JsonLinesResponse(out)
    return SingleResponse(out, stream)


def attachment(name: str) -> str:
    """Return a ``Content-Disposition`` for a label that may hold any characters (RFC 6266)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    encoded = quote(name, safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
