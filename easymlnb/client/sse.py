"""Read server-sent events as their bytes arrive."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from easymlnb.client.decoding import revive
from easymlnb.contract.errors import ServerUnreachable, from_code
from easymlnb.contract.jsonschema import Schema

OnProgress = Callable[[float, str], None]
"""Receives the progress of a call: a fraction from 0 to 1 (negative if unknown) and a text."""


class Events:
    """Splits a byte stream into events, independent of its chunks."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Yield the ``(event, data)`` that ``chunk`` completes."""
        waits = bool(self._rest) and self._rest[-1].endswith(b"\r")
        self._rest.append(chunk)
        if not waits and b"\n" not in chunk and b"\r" not in chunk:
            return  # The middle of a line: the parts of a long line are joined only once.
        # A chunk may end between the \r and the \n of one line end.
        text = b"".join(self._rest)
        held = text.endswith(b"\r")
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = lines.split(b"\n")
        self._rest = [rest + b"\r" if held else rest]
        for line in whole:
            yield from self._line(line.decode(errors="replace"))

    def _line(self, line: str) -> Iterator[tuple[str, str]]:
        if not line:
            if self._data:
                yield self._name or "message", "\n".join(self._data)
            self._name, self._data = "", []
            return
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            self._name = value
        elif key == "data":
            self._data.append(value)


class EventReader:
    """Turns a call's events into its items, progress, and result or error."""

    def __init__(self, output: Schema, progress: OnProgress | None = None) -> None:
        self.value: Any = None
        self.output = output
        self._progress = progress
        self._events = Events()
        self._done = False

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Yield the items that ``chunk`` completes; raises the error in it."""
        for name, data in self._events.feed(chunk):
            if name == "item":
                yield revive(json.loads(data), self.output)
            elif name == "progress" and self._progress is not None:
                event = json.loads(data)
                self._progress(float(event.get("fraction", -1)), str(event.get("text", "")))
            elif name == "result":
                self.finish(revive(json.loads(data), self.output))
            elif name == "error":
                raise _error(json.loads(data))

    def finish(self, value: Any) -> None:
        """Set the call's result."""
        self.value = value
        self._done = True

    def end(self) -> None:
        """Raise ``ServerUnreachable`` if the stream ended early."""
        if not self._done:
            raise ServerUnreachable(
                "The connection was lost before the result arrived. It is unknown whether the "
                "call completed."
            )


def _error(event: Any) -> Exception:
    found = event.get("error", event) if isinstance(event, dict) else {}
    return from_code(
        str(found.get("code", "error")),
        str(found.get("message", "The call failed.")),
        found.get("details"),
        str(found.get("request_id", "")),
    )
