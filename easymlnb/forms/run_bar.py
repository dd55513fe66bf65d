"""Run button, Stop button and progress."""

from collections.abc import Callable
from typing import Any

from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Progress, Waiting
from easymlnb.forms.markup import Markup, element, join

KEYS = "Ctrl + Enter"

LONG_SECONDS = 10.0
"""Seconds after which a running call can be moved to the background."""

STATES = {
    "starting": "The service is starting",
    "asleep": "The service was asleep and is starting",
}


def waiting_text(event: Waiting) -> str:
    """Return why a call has not begun, and how long that may take."""
    text = STATES.get(event.state, "Waiting")
    if event.position and event.state not in STATES:
        text = f"In the queue: {event.position} ahead of you"
    if event.seconds is not None and event.seconds >= 1:
        text += f", about {event.seconds:.0f} s"
    return f"{text}. {event.reason}" if event.reason else text


class RunBar:
    """The buttons with a thin bar and a line of text under them."""

    def __init__(
        self,
        run: Callable[[], None],
        stop: Callable[[], None],
        background: Callable[[], None] | None = None,
        *,
        is_long: bool = False,
        label: str = "Run",
    ) -> None:
        """``background`` runs the call as a job; a long service offers that from the start."""
        self._run = W.Button(description=label, tooltip=f"{label} with these values")
        self._stop = W.Button(description="Stop", tooltip="Stop the running call", disabled=True)
        self._run.on_click(lambda _: run())
        self._stop.on_click(lambda _: stop())
        self._run.add_class("em-primary")
        self._stop.add_class("em-stop")
        self._bar = W.FloatProgress(min=0.0, max=1.0, value=0.0)
        self._bar.add_class("em-bar")
        self._text = W.HTML()
        self._progress: Progress | Waiting | None = None
        self._line, self._note = Markup(), ""
        self._buttons = W.box(self._run, self._stop, kind=W.HBox, classes="em-actions")
        self._background: Any = None
        if background is not None:
            text = "Run as a job, or continue as one; it does not end when this page is closed"
            self._background = W.Button(description="Run in background", tooltip=text)
            self._background.on_click(lambda _: background())
        if is_long:
            self._offer_background()
        self.widget = W.box(self._buttons, self._bar, self._text, classes="em-status")
        self._set_text("", KEYS)

    def start(self, text: str = "Running") -> None:
        """Show that a call runs, or waits for ``text``."""
        self._run.disabled, self._stop.disabled = True, False
        self._progress, self._note = None, ""
        self._bar.value = 0.0
        W.change_classes(self.widget, add=("em-running", "em-unknown"))
        self._set_text(text)

    def progress(self, event: Progress | Waiting | None, seconds: float) -> None:
        """Show the progress, or how long the call has been running."""
        self._progress = latest = event or self._progress
        if self._stop.disabled:
            return
        if seconds >= LONG_SECONDS:
            self._offer_background()
        clock = f"{seconds:.0f} s" if seconds >= 1 else ""
        if isinstance(latest, Waiting):
            self._set_text(waiting_text(latest), clock)
            return
        if latest is not None and latest.fraction >= 0:
            self._bar.value = min(1.0, latest.fraction)
            self.widget.remove_class("em-unknown")
        self._set_text(latest.text if latest is not None and latest.text else "Running", clock)

    def _offer_background(self) -> None:
        if self._background is not None and self._background not in self._buttons.children:
            self._buttons.children = (*self._buttons.children, self._background)

    def note(self, text: str) -> None:
        """Show a text in addition to the progress, until the next call."""
        self._note = text
        self._show()

    def stopping(self) -> None:
        """Show that the call was asked to stop."""
        self._stop.disabled = True
        self._set_text("Stopping")

    def end(self, text: str = "", *, wrong: bool = False) -> None:
        """Free the buttons; ``wrong`` highlights a text that asks for corrections."""
        W.change_classes(self.widget, remove=("em-running", "em-unknown"))
        self._run.disabled, self._stop.disabled = False, True
        self._note = ""
        self._set_text(text, KEYS, "em-wrong" if wrong else "")

    def _set_text(self, text: str, right: str = "", classes: str = "") -> None:
        self._line = element(
            "div.em-line",
            element(f"span.{classes}", text) if text else None,
            element("span.em-push", right) if right else None,
            role="status",
        )
        self._show()

    def _show(self) -> None:
        note = [element("div.em-help", self._note, role="status")] if self._note else []
        self._text.value = join((self._line, *note))
