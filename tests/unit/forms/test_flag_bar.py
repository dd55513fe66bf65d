"""The Flag button under a result, and the line that asks for the reason."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from easymlnb.contract.errors import CallFailed
from easymlnb.contract.spec import Record
from easymlnb.forms import local_caller
from easymlnb.forms.call_protocol import Event, Failed, Succeeded
from easymlnb.forms.flag_bar import FLAGGED, NO_REASON
from easymlnb.forms.form import Form
from easymlnb.forms.local_caller import LocalCaller
from easymlnb.services.definition import define

REQUEST = "request-1"


class Running:
    def stop(self) -> None:
        """It has ended."""


class Caller:
    """Answers at once; keeps what is flagged, and what to report."""

    may_flag = True

    def __init__(self, event: Event) -> None:
        self.event = event
        self.flagged: list[tuple[str, str]] = []
        self.done: Callable[[str], None] = print

    def start(self, values: dict[str, Any], on_event: Callable[[Event], None]) -> Running:
        on_event(self.event)
        return Running()

    def flag(self, request_id: str, reason: str, on_done: Callable[[str], None]) -> None:
        self.flagged.append((request_id, reason))
        self.done = on_done


def half(value: float = 3.0) -> float:
    return value / 2


def ran(event: Event) -> tuple[Form, Caller]:
    caller = Caller(event)
    form = Form(define(half).spec, caller)
    form.run()
    form.wait(20)
    return form, caller


def message(form: Form) -> str:
    assert form.flag_bar is not None
    return str(form.flag_bar._message.value)


def test_flag_with_a_reason() -> None:
    form, caller = ran(Succeeded(request_id=REQUEST))
    assert 'data-em-action="flag" data-em-value="request-1"' in form.result_panel._about.value
    before = len(form.context.widgets)
    form.actions["flag"](REQUEST)
    bar = form.flag_bar
    assert bar is not None
    assert len(form.context.widgets) > before
    bar.send()
    assert NO_REASON in message(form)
    bar._reason.value = "  wrong label "
    bar.send()
    bar.send()
    assert caller.flagged == [(REQUEST, "wrong label")]
    caller.done("Too many flags.")
    assert "Too many flags." in message(form)
    bar.send()
    caller.done("")
    assert FLAGGED in message(form).replace("&#x27;", "'")
    assert bar._row not in bar.widget.children
    # A new call hides what was about the last one.
    form.run()
    form.wait(20)
    assert message(form) == ""
    widgets = form.context.widgets
    form.close()
    assert not widgets


def test_failed_calls_can_be_flagged() -> None:
    error = CallFailed("ValueError")
    error.request_id = REQUEST
    form, _ = ran(Failed(error))
    assert 'data-em-action="flag"' in form.result_panel._failure.value


@pytest.mark.parametrize(
    ("record", "flags", "may"),
    [(None, True, True), (None, False, False), (Record(flags=False), True, False)],
)
def test_no_button_where_flags_are_not_accepted(
    record: Record | None, flags: bool, may: bool
) -> None:
    service = define(half, record=record)
    form = Form(service.spec, LocalCaller(service, flags=flags))
    assert (form.flag_bar is not None, "flag" in form.actions) == (may, may)
    form.run()
    form.wait(20)
    assert ('"flag"' in form.result_panel._about.value) is may


def test_a_form_under_a_cell_sends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    done: SimpleQueue[str] = SimpleQueue()

    def send(*given: Any) -> str:
        sent.append(given)
        return "no server"

    monkeypatch.setattr(local_caller, "_flag", send)
    service = define(half)
    caller = LocalCaller(service, flags=True)
    events: SimpleQueue[Event] = SimpleQueue()
    caller.start({"value": 5}, events.put)
    event = events.get(timeout=20)
    assert isinstance(event, Succeeded)
    caller.flag("another", "why", done.put)
    assert "last call" in done.get(timeout=20)
    caller.flag(event.request_id, "why", done.put)
    assert done.get(timeout=20) == "no server"
    assert sent == [("half", {"value": 5}, 2.5, event.request_id, "why")]
