"""The form of a service: fields on the left, the result of the last call on the right."""

import time
from collections.abc import Callable
from functools import cache, partial
from importlib.resources import files
from typing import Any

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InternalError, InvalidInput
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.snippets import snippets
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_hand_over import CallHandOver
from easymlnb.forms.call_monitor import CallMonitor, CallUpdate
from easymlnb.forms.call_protocol import (
    Caller,
    Event,
    Failed,
    FlagCaller,
    JobCaller,
    LeavableCall,
    ResumingCaller,
    Running,
    Succeeded,
)
from easymlnb.forms.containers import Group
from easymlnb.forms.examples import gallery
from easymlnb.forms.finished_call import FinishedCall
from easymlnb.forms.flag_bar import FlagBar
from easymlnb.forms.form_script import Action, FormScript
from easymlnb.forms.header import assistant_link, header, page_links
from easymlnb.forms.job_cards import JobCards
from easymlnb.forms.limits import violations
from easymlnb.forms.markup import Markup, join
from easymlnb.forms.registry import make
from easymlnb.forms.result_panel import CodePanel, ResultPanel, Tabs
from easymlnb.forms.run_bar import RunBar
from easymlnb.forms.shared_style import FormContext

EXTRA_WIDGETS = 2000
"""Widgets that values may need besides those of the empty form, such as rows."""

CHECK_FIELDS = "Please check the highlighted fields."
FIRST_ITEMS = "First results"
UPLOADING = "Waiting for the file upload"
UPLOAD_FIRST = "The file is being uploaded. Try again when it is complete."
READING_RESULT = "Reading the result of the job"
RESUMING = "Running since before the page was loaded again"

LONG_TIMEOUT = 60.0
"""Services with a longer timeout offer to run in the background from the start."""


@cache
def style() -> Markup:
    """Return the stylesheet of forms and app pages."""
    text = files("easymlnb.forms").joinpath("style.css").read_text(encoding="utf-8")
    return Markup(f"<style>{text}</style>")


class Form:
    """A form made from a spec. Show it with ``display(form)`` or place ``form.widget``.

    ``caller`` runs the calls. ``url`` is the address of the Jupyter server in the code that is
    shown; without it the code finds the server automatically. ``app_page`` leaves the layout to
    an app page. ``shows_code`` says whether the code panel is used.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        caller: Caller,
        *,
        url: str = "",
        context: FormContext | None = None,
        app_page: bool = False,
        shows_code: bool = True,
    ) -> None:
        self.spec = spec
        self._shows_code = shows_code
        self.url = url
        self.actions: dict[str, Action] = {"example": self._fill_example}
        self.on_finished: Callable[[FinishedCall], None] = lambda call: None
        self.on_jobs_changed: Callable[[], None] = lambda: None
        self.on_started: Callable[[str, dict[str, Any]], None] = lambda id, values: None
        self._caller = caller
        self._running: Running | None = None
        self._monitor: CallMonitor | None = None
        self._hand_over: CallHandOver | None = None
        self._call = FinishedCall({})
        self.context = context or FormContext()
        self.context.on_all_valid = self._on_all_valid
        with self.context.active():
            self.fields = Group(SchemaNode.root(spec.input), make)
            self.jobs = self._job_cards(caller)
            self.run_bar = self._run_bar(spec)
            self.flag_bar = self._flag_bar(caller)
            run = "Run" if spec.training is None else "Train"
            self.result_panel = ResultPanel(spec.stream, self.flag_bar, run)
            self.code_panel = CodePanel(assistant_link(spec.name, url))
            self.script = FormScript(self.actions, app_page=app_page)
            self.fields.widget.remove_class("em-group")
            self.show_code()
            self.widget = W.VBox() if app_page else self._build()
            self.widget.add_class("em-form")
        self.context.max_widgets = len(self.context.widgets) + EXTRA_WIDGETS
        W.keep_message_order(self.widget)

    def _run_bar(self, spec: ServiceSpec) -> RunBar:
        """Return the buttons; a training of a published service always is a job."""
        background = None if self.jobs is None else self.run_in_background
        if spec.training is not None:
            return RunBar(background or self.run, self.stop, label="Train")
        return RunBar(self.run, self.stop, background, is_long=spec.timeout > LONG_TIMEOUT)

    def _flag_bar(self, caller: Caller) -> FlagBar | None:
        if not isinstance(caller, FlagCaller) or not caller.may_flag:
            return None
        bar = FlagBar(caller)
        self.actions["flag"] = self._open_flag_bar
        return bar

    def _job_cards(self, caller: Caller) -> JobCards | None:
        if not isinstance(caller, JobCaller) or not caller.may_run_jobs:
            return None
        cards = JobCards(
            caller,
            lambda: self.on_jobs_changed(),
            title="Training" if self.spec.training is not None else "Background job",
        )
        self.actions |= {
            "job-use": cards.use_model,
            "job-cancel": cards.cancel,
            "job-remove": cards.remove,
            "job-show": self._show_job,
        }
        return cards

    def run_in_background(self) -> None:
        """Run the call as a job; one that runs already continues as a job."""
        assert self.jobs is not None and isinstance(self._caller, JobCaller)
        if (monitor := self._monitor) is not None:
            self._hand_over = moving = self._hand_over or CallHandOver(
                self._caller, self.jobs, self.run_bar, self._restart_as_job
            )
            moving.start(
                self._running,
                self._call.values,
                lambda: self._monitor is monitor and not self.context.closed,
            )
        elif self.context.uploading:
            self.run_bar.end(UPLOAD_FIRST, wrong=True)
        elif self.is_valid():
            self.run_bar.end()
            self._start_job(self.values())

    def _start_job(self, values: dict[str, Any]) -> None:
        assert self.jobs is not None
        self.show_code(values)
        self.jobs.start(values)

    def _restart_as_job(self) -> None:
        self.stop()
        self._start_job(self._call.values)

    def _show_job(self, number: str) -> None:
        """Show the result of a job in place of that of the last call."""
        card = self.jobs.find(number) if self.jobs is not None else None
        if card is None or self.busy or not isinstance(self._caller, JobCaller):
            return
        read = partial(self._caller.read_job, card.status.id)
        self._follow(FinishedCall(card.values, time.monotonic()), READING_RESULT, read)

    def _open_flag_bar(self, request: str) -> None:
        assert self.flag_bar is not None
        with self.context.active():
            self.flag_bar.open(request)

    def _build(self) -> Any:
        """Return the form as shown under a cell."""
        look = W.HTML(style())
        look.add_class("em-style")
        tabs = Tabs(
            {
                "Result": self.result_panel.widget,
                "Code": self.code_panel.widget,
                "Log": self.result_panel.log_widget,
            }
        )
        jobs = () if self.jobs is None else (self.jobs.widget,)
        right = W.box(*jobs, tabs.widget, classes="em-card em-outcome")
        columns = W.box(self.inputs(), right, kind=W.Box, classes="em-two")
        head = join((header(self.spec), page_links(self.spec.name, self.url)))
        return W.box(look, W.HTML(head), columns, self.script)

    def inputs(self) -> Any:
        """Return a card with the fields, Run and Stop, and the examples."""
        examples = gallery(self.spec)
        below = [W.HTML(examples)] if examples else []
        return W.box(self.fields.widget, self.run_bar.widget, *below, classes="em-card em-inputs")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = self.widget._repr_mimebundle_(**kwargs)
        if isinstance(bundle, dict):
            # Shown where the page has no kernel.
            bundle["text/plain"] = f"The form of {self.spec.title!r}. Run the cell to use the form."
        return bundle

    def _fill_example(self, number: str) -> None:
        if number.isdecimal() and int(number) < len(self.spec.examples):
            self.fill(self.spec.examples[int(number)])

    def values(self) -> dict[str, Any]:
        """Return the input as JSON values, without empty fields."""
        return dict(self.fields.get())

    def fill(self, values: dict[str, Any]) -> None:
        """Fill in values, as an example does, and reset all other fields to their defaults."""
        self._cancel_waiting()
        with self.context.active():
            self.fields.clear_errors()
            self.fields.set(values)

    def run(self) -> None:
        """Start a call with the input, after uploads that are running; one call at a time."""
        if self._monitor is not None:
            return
        self.context.after_uploads = None
        if not self.is_valid():
            return
        if self.context.uploading:
            self.context.after_uploads = self._after_uploads
            self.context.upload_removed = False
            self.run_bar.start(UPLOADING)
            return
        self._start(self.values())

    def is_valid(self) -> bool:
        """Return whether all values can be sent, and mark those that cannot."""
        self.fields.clear_errors()
        if self.fields.check() is None:
            return True
        self._show_violations()
        return False

    def _start(self, values: dict[str, Any]) -> None:
        self._call = FinishedCall(values, time.monotonic())
        self._monitor = monitor = CallMonitor(self)
        self._running = None
        try:
            self._running = self._caller.start(values, monitor.on_event)
        except EasyMLNBError as error:
            monitor.on_event(Failed(error))
        except Exception:
            # The form must stay usable; the cell's output shows the traceback.
            monitor.on_event(Failed(InternalError("The call could not be started.")))
            raise
        finally:
            # The call is on its way meanwhile.
            self.result_panel.begin()
            self.run_bar.start()
            if isinstance(self._caller, ResumingCaller) and isinstance(self._running, LeavableCall):
                self.on_started(self._running.id, values)
            self._show_events(monitor)
            self.show_code(values)

    def _follow(
        self, call: FinishedCall, text: str, start: Callable[[Callable[[Event], None]], Running]
    ) -> None:
        """Show the events of a call or job that was started before."""
        self._call = call
        self.result_panel.begin()
        self.run_bar.start(text)
        self._monitor = monitor = CallMonitor(self)
        self._running = start(monitor.on_event)
        self._show_events(monitor)

    def _show_events(self, monitor: CallMonitor) -> None:
        with self.context.active():
            monitor.start()

    def show_code(self, values: dict[str, Any] | None = None) -> None:
        """Show code for a call with these values, or with those of the form."""
        if self._shows_code:
            values = self.values() if values is None else values
            self.code_panel.show(snippets(self.spec, values, self.url))

    def resume(self, id: str, values: dict[str, Any]) -> None:
        """Wait for a call that the page started before it was loaded again."""
        caller = self._caller
        if self.busy or not isinstance(caller, ResumingCaller):
            return
        call = FinishedCall(values, time.monotonic())
        self._follow(call, RESUMING, partial(caller.resume, id))

    def _show_violations(self) -> None:
        """Mark all values that are known to be invalid, and go to the first of them."""
        for path, message in violations(SchemaNode.root(self.spec.input), self.values()):
            self.fields.show_error(path, message)
        # Messages about values that cannot be sent at all take precedence.
        self.fields.check()
        self.show_invalid()

    def show_invalid(self) -> None:
        """Show that fields have messages, and scroll to the first of them."""
        self.run_bar.end(CHECK_FIELDS, wrong=True)
        self.script.perform("invalid", message=CHECK_FIELDS)

    def _after_uploads(self) -> None:
        """Start the call that waited for uploads, unless a file was removed meanwhile."""
        if self.context.upload_removed:
            self.run_bar.end()
        else:
            self.run()

    def stop(self) -> None:
        """Ask the running call to stop, or cancel one that waits for an upload."""
        self._cancel_waiting()
        if self._running is not None and self._monitor is not None:
            self.run_bar.stopping()
            self._monitor.stopping()
            self._running.stop()

    def _cancel_waiting(self) -> None:
        if self.context.after_uploads is not None:
            self.context.after_uploads = None
            self.run_bar.end()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the form shows the end of the running call; for tests and scripts."""
        if self._monitor is not None:
            self._monitor.join(timeout)

    def update(self, update: CallUpdate) -> None:
        """Show what has happened to the running call."""
        if self.context.closed:
            return
        with self.context.batch():
            self.run_bar.progress(update.progress, update.seconds)
            self.result_panel.log(update.log)
            self.result_panel.items(update.items)
            if self._call.add_items(update.items):
                self.script.perform("result", message=FIRST_ITEMS)

    def finish(self, event: Succeeded | Failed) -> None:
        """Show the end of the running call."""
        if self.context.closed:
            return
        at_fields = False
        with self.context.batch():
            if isinstance(event, Succeeded):
                self.result_panel.succeed(event)
            else:
                at_fields = isinstance(event.error, InvalidInput) and self._show_errors(event.error)
                self.result_panel.fail(event, at_fields)
        with self.context.batch():  # after the result was sent
            self._end(event, at_fields)

    def _end(self, event: Succeeded | Failed, at_fields: bool) -> None:
        """Add the call to the history and make the form ready for the next one."""
        self._call.finish(event)
        self.on_finished(self._call)
        # Only now may the next call start: it uses the same widgets.
        self._monitor = None
        if at_fields:
            self.show_invalid()
            return
        self.run_bar.end()
        if isinstance(event, Succeeded):
            self.script.perform("result", message="Result ready")
        elif not isinstance(event.error, CallCancelled):
            self.script.perform("result", message="Run failed")

    def _show_errors(self, error: InvalidInput) -> bool:
        """Show each message at its field; False if one of them has no field."""
        shown = True
        for item in error.details or ():
            path = str(item.get("field", "")).split(".")
            shown = self.fields.show_error(path, str(item.get("message", ""))) and shown
        return shown and bool(error.details)

    def _on_all_valid(self) -> None:
        if not self.busy:
            self.run_bar.end()

    @property
    def busy(self) -> bool:
        """Whether a call is running, or waits for an upload."""
        return self._monitor is not None or self.context.after_uploads is not None

    def close(self) -> None:
        """Leave a running call, or stop it if it cannot continue, and free all widgets."""
        if self._monitor is not None and isinstance(self._running, LeavableCall):
            self._running.leave()
        else:
            self.stop()
        if self.jobs is not None:
            self.jobs.close()
        self.context.close()
