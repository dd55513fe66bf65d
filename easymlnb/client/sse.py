"""Server-sent events, read as their bytes come."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from easymlnb.client.decoding import revive
from easymlnb.contract.errors import ServerUnreachable, from_code
from easymlnb.contract.jsonschema import Schema

OnProgress = Callable[[float, str], None]
"""Told how far a call is: a fraction in 0..1 (negative when unknown) and a text."""


class Events:
    """Split a byte stream into events, wherever its chunks are cut."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Yield the ``(event, data)`` that ``chunk`` completes."""
        waits = bool(self._rest) and self._rest[-1].endswith(b"\r")
        self._rest.append(chunk)
        if not waits and b"\n" not in chunk and b"\r" not in chunk:
            return  # The middle of a line: a long one is put together only once.
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
    """Make of a call's events its items, its progress, and its result or error."""

    def __init__(self, output: Schema, progress: OnProgress | None = None) -> None:
        self.value: Any = None
        self.output = output
        self._progress = progress
        self._events = Events()
        self._done = False

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Yield the items that ``chunk`` completes; raises the error that it brings."""
        for name, data in self._events.feed(chunk):
            if name == "item":
                yield revive(json.loads(data), self.output)
            elif name == "progress" and self._progress is not None:
                told = json.loads(data)
                self._progress(float(told.get("fraction", -1)), str(told.get("text", "")))
            elif name == "result":
                self.finish(revive(json.loads(data), self.output))
            elif name == "error":
                raise _error(json.loads(data))

    def finish(self, value: Any) -> None:
        """Take the call's result; nothing more is awaited."""
        self.value = value
        self._done = True

    def end(self) -> None:
        """Raise ``ServerUnreachable`` when the stream broke off before its end."""
        if not self._done:
            raise ServerUnreachable(
                "The connection was lost before the result arrived. It is unknown whether the "
                "call completed."
            )


def _error(told: Any) -> Exception:
    found = told.get("error", told) if isinstance(told, dict) else {}
    return from_code(
        str(found.get("code", "error")),
        str(found.get("message", "The call failed.")),
        found.get("details"),
        str(found.get("request_id", "")),
    )
