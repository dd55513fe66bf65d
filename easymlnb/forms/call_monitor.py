"""Follow one call and update the form at a rate that a page can handle."""

import threading
import time
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
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
from easymlnb.forms.reused_threads import reused_threads

INTERVAL = 0.1
"""Seconds between two updates; events in between are combined."""

CLOCK_INTERVAL = 1.0
"""Seconds after which the elapsed time is updated although nothing happened."""

GRACE = 5.0
"""Seconds that a stopped call may take to answer before the form is free again."""

NO_THREAD = (
    "The call was started, but its result cannot be displayed: too many calls are running. "
    "Try again in a moment."
)


@dataclass(slots=True)
class CallUpdate:
    """What has happened since the last update."""

    seconds: float
    progress: Progress | Waiting | None = None
    log: str = ""
    items: list[list[Part]] = field(default_factory=list)


class Screen(Protocol):
    """Where a call is shown; called by one thread at a time."""

    def update(self, update: CallUpdate) -> None: ...

    def finish(self, event: Succeeded | Failed) -> None: ...


class CallMonitor:
    """Follows a call to its end, once started.

    ``on_event`` may be called before that, from any thread, and never waits.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._ended = threading.Event()
        self._shown = threading.Event()
        self._deadline: float | None = None

    def start(self) -> None:
        """Show events from now on, those that came before first."""
        # In a form kernel the context decides which page the widgets belong to.
        try:
            reused_threads.run(partial(copy_context().run, self._run))
        except RuntimeError:  # no more threads
            self._finish(Failed(InternalError(NO_THREAD)))
            self._shown.set()

    def on_event(self, event: Event) -> None:
        """Receive an event of the call."""
        self._events.put(event)
        if isinstance(event, Succeeded | Failed):
            self._ended.set()

    def stopping(self) -> None:
        """Expect the end soon, and finish without it after ``GRACE`` seconds."""
        self._deadline = time.monotonic() + GRACE

    def join(self, timeout: float | None = None) -> None:
        """Wait until the end is shown."""
        self._shown.wait(timeout)

    def _run(self) -> None:
        try:
            self._follow()
        finally:
            self._shown.set()

    def _follow(self) -> None:
        started = time.monotonic()
        while True:
            events = self._wait()
            update = CallUpdate(time.monotonic() - started)
            end = _collect(events, update)
            if self._deadline is not None and time.monotonic() > self._deadline:
                end = end or Failed(
                    CallCancelled("The call did not stop in time and may still be running.")
                )
            self._screen.update(update)
            if end is not None:
                self._finish(end)
                return
            # The end is shown at once, even right after another update.
            self._ended.wait(INTERVAL)

    def _finish(self, event: Succeeded | Failed) -> None:
        try:
            self._screen.finish(event)
        except Exception:
            # A form whose buttons stay disabled would be worse than a missing result.
            self._screen.finish(Failed(InternalError("The result cannot be displayed.")))
            raise

    def _wait(self) -> list[Event]:
        try:
            events = [self._events.get(timeout=CLOCK_INTERVAL)]
        except Empty:
            return []
        while not self._events.empty():
            events.append(self._events.get())
        return events


def _collect(events: list[Event], update: CallUpdate) -> Succeeded | Failed | None:
    """Add events to the update and return the call's end, if it is among them."""
    for event in events:
        if isinstance(event, Succeeded | Failed):
            return event
        if isinstance(event, Progress | Waiting):
            update.progress = event
        elif isinstance(event, Log):
            update.log += event.text
        elif isinstance(event, Item):
            update.items.append(event.parts)
    return None
