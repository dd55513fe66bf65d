"""Run button, Stop button and progress."""

from collections.abc import Callable

from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Progress, Waiting
from easymlnb.forms.fields import html

KEYS = "Ctrl + Enter"

STATES = {
    "starting": "The service is starting",
    "asleep": "The service was asleep and is starting",
}


def waiting(told: Waiting) -> str:
    """Say why a call has not begun, and how long that may take."""
    said = STATES.get(told.state, "Waiting")
    if told.position:
        said += f": {told.position} ahead of you" if said == "Waiting" else ""
    if told.seconds is not None and told.seconds >= 1:
        said += f", about {told.seconds:.0f} s"
    return f"{said}. {told.reason}" if told.reason else said


class RunBar:
    """The buttons with a thin bar and a line of text under them."""

    def __init__(self, run: Callable[[], None], stop: Callable[[], None]) -> None:
        self._run = W.Button(description="Run", tooltip="Run with these values")
        self._stop = W.Button(description="Stop", tooltip="Stop the running call", disabled=True)
        self._run.on_click(lambda _: run())
        self._stop.on_click(lambda _: stop())
        self._run.add_class("em-primary")
        self._stop.add_class("em-stop")
        self._bar = W.FloatProgress(min=0.0, max=1.0, value=0.0)
        self._bar.add_class("em-bar")
        self._text = W.HTML()
        self._progress: Progress | Waiting | None = None
        buttons = W.HBox([self._run, self._stop])
        buttons.add_class("em-actions")
        self.widget = W.VBox([buttons, self._bar, self._text])
        self.widget.add_class("em-status")
        self._say("", KEYS)

    def start(self, text: str = "Running") -> None:
        """A call begins, or waits for what it needs."""
        self._run.disabled, self._stop.disabled = True, False
        self._progress = None
        self._bar.value = 0.0
        self.widget.add_class("em-running")
        self.widget.add_class("em-unknown")
        self._say(text)

    def progress(self, told: Progress | Waiting | None, seconds: float) -> None:
        """Show how far it is, or at least for how long."""
        self._progress = told or self._progress
        if self._stop.disabled:
            return
        known = self._progress
        clock = f"{seconds:.0f} s" if seconds >= 1 else ""
        if isinstance(known, Waiting):
            self._say(waiting(known), clock)
            return
        if known is not None and known.fraction >= 0:
            self._bar.value = min(1.0, known.fraction)
            self.widget.remove_class("em-unknown")
        self._say(known.text if known is not None and known.text else "Running", clock)

    def stopping(self) -> None:
        """It was asked to stop."""
        self._stop.disabled = True
        self._say("Stopping")

    def end(self, text: str = "", *, wrong: bool = False) -> None:
        """Free the buttons and say how it ended; ``wrong`` where something must be corrected."""
        self.widget.remove_class("em-running")
        self.widget.remove_class("em-unknown")
        self._run.disabled, self._stop.disabled = False, True
        self._say(text, KEYS, "em-wrong" if wrong else "")

    def _say(self, text: str, right: str = "", kind: str = "") -> None:
        self._text.value = (
            f'<div class="em-line" role="status">{html(text, kind, "span")}'
            f"{html(right, 'em-push', 'span')}</div>"
        )
