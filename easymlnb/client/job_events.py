"""Read the event stream of a job."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.messages import Request
from easymlnb.client.sse import Events
from easymlnb.contract.jsonschema import Schema

ENDED = frozenset(("succeeded", "failed", "cancelled"))
"""The states of jobs that have ended."""

Event = dict[str, Any]
"""An event of a job: its ``kind`` and what came with it."""


class JobEventReader:
    """Turns the bytes of a job's event stream into events; ``last`` is the number of the last.

    ``answered`` says whether the server has sent anything, which may be no event.
    """

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.ended = False
        self.answered = False
        self.output: Schema = {}
        self._events = Events()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that ``chunk`` completes."""
        self.answered = True
        for kind, data in self._events.feed(chunk):
            event = {"kind": kind, **json.loads(data)}
            self.last = max(self.last, event.get("n", 0))
            if kind == "state":
                self.ended = event["state"] in ENDED
            yield event

    def finish(self, value: Any) -> None:
        """Note that the server has nothing left to send."""
        self.ended = True

    def end(self) -> None:
        """Accept the end of a stream, which may be continued."""

    def request(self, id: str) -> Request:
        """Return the request for the events that were not read yet."""
        headers = {"Accept": operations.EVENT_STREAM, "Last-Event-ID": str(self.last)}
        return Request("GET", f"jobs/{quote(id, safe='')}/events", 60.0, headers)

    def again(self) -> "JobEventReader":
        """Return the reader of the next connection."""
        return JobEventReader(self.last)
