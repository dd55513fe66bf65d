"""The line under a result in which a person says why a call should be kept."""

from contextvars import copy_context
from typing import Any

from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import FlagCaller
from easymlnb.forms.markup import button, element

FLAGGED = "Flagged. The service's author can now see this call with its input and result."
NO_REASON = "Enter a reason."
MAX_REASON = 2000


def flag_button(request: str) -> Any:
    """Return the button that opens the line; the form's action ``flag`` receives the request id."""
    return button("Flag", "flag", request)


class FlagBar:
    """A field for the reason, and buttons; its widgets are made when it is first opened."""

    def __init__(self, caller: FlagCaller) -> None:
        self._caller = caller
        self._request = ""
        self._sending = False
        self._message = W.HTML()
        self.widget = W.box(self._message)
        self._row: Any = None
        self._reason: Any = None
        self._send: Any = None

    def open(self, request: str) -> None:
        """Ask for the reason to flag the call with this request id."""
        if self._sending:
            return
        self._request = request
        self._message.value = ""
        if self._row is None:
            self._make_row()
        self._reason.value = ""
        self.widget.children = (self._row, self._message)
        W.keep_message_order(self.widget)

    def close(self) -> None:
        """Hide the line, as a new result replaces the one that it is about."""
        if not self._sending:
            self.widget.children = (self._message,)
            self._message.value = ""

    def _make_row(self) -> None:
        self._reason = W.Text(placeholder="What is wrong with this result?", description="Reason")
        self._send = W.Button(description="Send flag")
        cancel = W.Button(description="Cancel")
        self._send.on_click(lambda _: self.send())
        cancel.on_click(lambda _: self.close())
        self._row = W.box(self._reason, self._send, cancel, kind=W.HBox, classes="em-actions")

    def send(self) -> None:
        """Send the flag with the reason."""
        reason = self._reason.value.strip()[:MAX_REASON]
        if not reason:
            self._show(NO_REASON, wrong=True)
            return
        if self._sending:
            return
        self._sending = self._send.disabled = True
        self._show("Sending")
        # In a form kernel the context decides which page the widgets belong to.
        context = copy_context()
        self._caller.flag(self._request, reason, lambda problem: context.run(self._sent, problem))

    def _sent(self, problem: str) -> None:
        self._sending = self._send.disabled = False
        if problem:
            self._show(problem, wrong=True)
            return
        self.widget.children = (self._message,)
        self._show(FLAGGED)

    def _show(self, text: str, *, wrong: bool = False) -> None:
        classes = "div.em-help.em-wrong" if wrong else "div.em-help"
        self._message.value = element(classes, text, role="status")
