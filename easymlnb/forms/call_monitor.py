"""Follow one call and update the form at a rate that a page can handle."""

import threading
import time
from contextvars import copy_context
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from easymlnb.contract.errors import CallCancelled, InternalError
from easymlnb.forms.call_protocol import (
    Event,
    Failed,
    Item,
    Log,
    Part,
    Progress,
    Succeeded,
    Waiting,
)

PACE = 0.1
"""Seconds between two paints; what comes faster is painted together."""

TICK = 1.0
"""Seconds after which the clock is painted although nothing happened."""

GRACE = 5.0
"""Seconds a stopped call gets to answer before the form is free again."""


@dataclass(slots=True)
class CallUpdate:
    """What happened since the last paint."""

    seconds: float
    progress: Progress | Waiting | None = None
    log: str = ""
    items: list[list[Part]] = field(default_factory=list)


class Screen(Protocol):
    """Where a call is painted; only ever called from one thread at a time."""

    def show(self, news: CallUpdate) -> None: ...

    def end(self, event: Succeeded | Failed) -> None: ...


class CallMonitor:
    """A call's way from start to end. ``on`` may be called from any thread and never waits."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._over = threading.Event()
        self._deadline: float | None = None
        # Whoever carries several pages in one process tells by the context whose widgets these are.
        follow = copy_context().run
        self._thread = threading.Thread(
            target=follow, args=(self._follow,), name="easymlnb-form", daemon=True
        )
        self._thread.start()

    def on(self, event: Event) -> None:
        """Take an event of the call."""
        self._events.put(event)
        if isinstance(event, Succeeded | Failed):
            self._over.set()

    def stopping(self) -> None:
        """Expect the end soon, and end without it if it does not come."""
        self._deadline = time.monotonic() + GRACE

    def join(self, timeout: float | None = None) -> None:
        """Wait until the end is painted."""
        self._thread.join(timeout)

    def _follow(self) -> None:
        started = time.monotonic()
        while True:
            events = self._wait()
            news = CallUpdate(time.monotonic() - started)
            last = _sort(events, news)
            if self._deadline is not None and time.monotonic() > self._deadline:
                last = last or Failed(
                    CallCancelled("The call did not stop in time and may still be running.")
                )
            self._screen.show(news)
            if last is not None:
                self._end(last)
                return
            # The end is painted at once, however shortly before it something else was.
            self._over.wait(PACE)

    def _end(self, last: Succeeded | Failed) -> None:
        try:
            self._screen.end(last)
        except Exception:
            # A form whose buttons stay dead would be worse than a result that is not seen.
            self._screen.end(Failed(InternalError("The result cannot be displayed.")))
            raise

    def _wait(self) -> list[Event]:
        try:
            found = [self._events.get(timeout=TICK)]
        except Empty:
            return []
        while not self._events.empty():
            found.append(self._events.get())
        return found


def _sort(events: list[Event], news: CallUpdate) -> Succeeded | Failed | None:
    """Put events into the news and return the call's end, if it is among them."""
    for event in events:
        if isinstance(event, Succeeded | Failed):
            return event
        if isinstance(event, Progress | Waiting):
            news.progress = event
        elif isinstance(event, Log):
            news.log += event.text
        elif isinstance(event, Item):
            news.items.append(event.parts)
    return None
