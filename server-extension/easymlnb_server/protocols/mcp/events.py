"""What a call reports while it runs, as notifications of progress."""

from collections.abc import Callable
from typing import Any

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.responses import EventStreamResponse, ResponseOutput, StreamItems
from easymlnb_server.calls.stream_buffer import StreamBuffer
from easymlnb_server.protocols.mcp.models import Id, notification
from easymlnb_server.services.models import Target

MAX_MESSAGE = 1000
"""Characters of a message about progress."""

STEP = 1e-6
"""By how much progress grows for a new message: it must always grow."""


class McpEvents(EventStreamResponse):
    """An event stream with the progress of one request, and its answer at the end."""

    def __init__(self, out: ResponseOutput, token: Id) -> None:
        super().__init__(out)
        self._token = token
        self._reached = 0.0
        self._said = ""
        self._items = 0

    def event(self, message: Progress | Item, body: bytes) -> None:
        """Write progress, or an item of a stream; it is sent with the next ``flush``."""
        if isinstance(message, Item):
            self._items += 1
            self._notify(float(self._items), body.decode()[:MAX_MESSAGE], None)
        else:
            self._notify(message.fraction, message.text[:MAX_MESSAGE], 1.0)

    def waiting(self, place: dict[str, Any]) -> None:
        """Report the position of the call in its queue."""
        words = str(place.get("reason") or f"Waiting, position {place['position']} in the queue")
        self._notify(-1.0, words, 1.0)
        self.flush()

    def answer(self, message: bytes) -> None:
        """Write the answer to the request."""
        self._put("message", message)

    def _notify(self, reached: float, words: str, total: float | None) -> None:
        if reached <= self._reached:
            if words == self._said:
                return
            reached = self._reached + STEP
        self._reached, self._said = reached, words
        params: dict[str, Any] = {"progressToken": self._token, "progress": reached}
        if total is not None:
            params["total"] = total
        if words:
            params["message"] = words
        self._put("message", notification("notifications/progress", params))


class CallReport:
    """The ``EventSink`` of a call: collects items, and reports progress if the client wants it.

    Parameters
    ----------
    begin
        Begins an event stream; ``None`` if the answer is one JSON object.
    acknowledge
        Called with the bytes of items that were taken.
    stop
        Ends the call with an error.
    """

    def __init__(
        self,
        begin: Callable[[], McpEvents] | None,
        acknowledge: Callable[[int], None],
        stop: Callable[[EasyMLNBError], None],
    ) -> None:
        self.items = StreamItems()
        self.events: McpEvents | None = None
        self._outbox: StreamBuffer | None = None
        self._begin = begin
        self._acknowledge = acknowledge
        self._stop = stop

    @property
    def is_ready(self) -> bool:
        """Whether the client took everything that was written."""
        return self._outbox is None or self._outbox.empty

    def on_accepted(self, target: Target) -> None:
        """Begin the event stream; not before, as a refusal is a plain answer."""
        if self._begin is not None and self.events is None:
            self.events = self._begin()
            self._outbox = StreamBuffer(self.events, self._acknowledge)

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Keep an item, and report it or the progress."""
        try:
            if isinstance(message, Item):
                self.items.add(body)
        except EasyMLNBError as error:
            self._stop(error)
            return
        if self._outbox is not None:
            self._outbox.event(message, body)
        elif isinstance(message, Item):
            self._acknowledge(len(body))
