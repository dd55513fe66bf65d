"""The form of a service: fields on the left, what came of them on the right."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InternalError, InvalidInput
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.snippets import snippets
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_monitor import CallMonitor, CallUpdate
from easymlnb.forms.call_protocol import Caller, Failed, Part, Running, Succeeded
from easymlnb.forms.containers import Group
from easymlnb.forms.examples import gallery
from easymlnb.forms.fields import html
from easymlnb.forms.form_script import FormScript
from easymlnb.forms.limits import broken
from easymlnb.forms.message_order import keep_message_order
from easymlnb.forms.page_links import ways
from easymlnb.forms.registry import make
from easymlnb.forms.result_panel import KEPT_ITEMS, CodePanel, ResultPanel, Tabs
from easymlnb.forms.run_bar import RunBar
from easymlnb.forms.sanitize import markdown
from easymlnb.forms.shared_style import FormContext

LONG = 400
"""Characters of a description that are shown unfolded."""

MORE = 2000
"""Widgets that values may need beyond those of the empty form: rows, and what is folded out."""

LOOK = "Please check the highlighted fields."

READY = "Result ready"

ARRIVING = "First results"

FAILED = "Run failed"

SENDING = "Waiting for the file upload"


@dataclass(slots=True)
class Ended:
    """A call from its start to its end: what the history of a page wants to know of it."""

    values: dict[str, Any]
    started: float = 0.0
    seconds: float = 0.0
    event: Succeeded | Failed = field(default_factory=Succeeded)
    items: list[list[Part]] = field(default_factory=list)
    count: int = 0

    def came(self, items: list[list[Part]]) -> bool:
        """Keep the last elements of a stream; return whether these were the first."""
        first = bool(items) and not self.count
        self.count += len(items)
        self.items = [*self.items, *items][-KEPT_ITEMS:]
        return first

    def end(self, event: Succeeded | Failed) -> None:
        """Note how it ended, and how long it took until then."""
        self.event = event
        self.seconds = time.monotonic() - self.started


@cache
def style() -> str:
    """Return the stylesheet of form, app and catalog."""
    return files("easymlnb.forms").joinpath("style.css").read_text(encoding="utf-8")


class Form:
    """A form made only from a spec. Show it with ``display(form)`` or place ``form.widget``.

    ``caller`` runs the calls. ``url`` is the address of the Jupyter server for the code that is
    shown; without it the code finds the server by itself.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        caller: Caller,
        *,
        url: str = "",
        sheet: FormContext | None = None,
        place: str = "cell",
    ) -> None:
        self.spec = spec
        self.url = url
        self.acts: dict[str, Callable[[str], None]] = {"example": self._example}
        self.ended: Callable[[Ended], None] = lambda ended: None
        self._caller = caller
        self._running: Running | None = None
        self._watch: CallMonitor | None = None
        self._call = Ended({})
        self.sheet = sheet or FormContext()
        self.sheet.unmarked = self._unmarked
        with self.sheet.active():
            self.fields = Group(SchemaNode.root(spec.input), make)
            self.status = RunBar(self.run, self.stop)
            self.outcome = ResultPanel(spec.stream)
            self.code = CodePanel()
            self.desk = FormScript(self.acts, place=place)
            self.fields.widget.remove_class("em-group")
            self.code.show(snippets(spec, self.values(), url))
            self.widget = self._draw() if place == "cell" else W.VBox()
            self.widget.add_class("em-form")
        self.sheet.most = len(self.sheet.widgets) + MORE
        keep_message_order(self.widget)

    def _draw(self) -> Any:
        """Return what stands under a cell."""
        look = W.HTML(f"<style>{style()}</style>")
        look.add_class("em-style")
        pages = [self.outcome.widget, self.code.widget, self.outcome.log_widget]
        right = Tabs(("Result", "Code", "Log"), pages)
        right.widget.add_class("em-card")
        right.widget.add_class("em-outcome")
        two = W.Box([self.inputs(), right.widget])
        two.add_class("em-two")
        head = header(self.spec) + ways(self.spec.name, self.url)
        return W.VBox([look, W.HTML(head), two, self.desk])

    def inputs(self) -> Any:
        """Return the fields above Run and Stop and the examples, as a card."""
        shown = gallery(self.spec)
        below = [W.HTML(shown)] if shown else []
        card = W.VBox([self.fields.widget, self.status.widget, *below])
        card.add_class("em-card")
        card.add_class("em-inputs")
        return card

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = self.widget._repr_mimebundle_(**kwargs)
        if isinstance(found, dict):
            # What is left of it where no kernel stands behind the page.
            found["text/plain"] = f"The form of {self.spec.title!r}. Run the cell to use the form."
        return found

    def _example(self, number: str) -> None:
        if number.isdecimal() and int(number) < len(self.spec.examples):
            self.fill(self.spec.examples[int(number)])

    def values(self) -> dict[str, Any]:
        """Return what is filled in, as JSON values; what is left empty is left out."""
        found: dict[str, Any] = self.fields.get()
        return found

    def fill(self, values: dict[str, Any]) -> None:
        """Fill in values, as an example does; all other fields go back to their defaults."""
        self._call_off()
        with self.sheet.active():
            self.fields.clear()
            self.fields.set(values)

    def run(self) -> None:
        """Call the service with what is filled in and return at once; one call at a time.

        It begins when no file is on its way any more.
        """
        if self._watch is not None:
            return
        self.fields.clear()
        self.sheet.due = None
        if self.fields.check() is not None:
            self._refuse()
            return
        if self.sheet.sending:
            self.sheet.due, self.sheet.taken_back = self._arrived, False
            self.status.start(SENDING)
            return
        values = self.values()
        self._call = Ended(values, time.monotonic())
        self.code.show(snippets(self.spec, values, self.url))
        self.outcome.begin()
        self.status.start()
        with self.sheet.active():
            self._watch = watch = CallMonitor(self)
        try:
            self._running = self._caller.start(values, watch.on)
        except EasyMLNBError as error:
            watch.on(Failed(error))
        except Exception:
            # The form must come back to life; the cell's output has the traceback.
            watch.on(Failed(InternalError("The call could not be started.")))
            raise

    def _refuse(self) -> None:
        """Mark everything that is known to be wrong, and lead to the first of it."""
        for place, message in broken(SchemaNode.root(self.spec.input), self.values()):
            self.fields.show(place, message)
        # What cannot be sent at all is said rather than what is wrong with its value.
        self.fields.check()
        self.lead_to_marked()

    def lead_to_marked(self) -> None:
        """Say that fields are marked, and bring the first of them into view."""
        self.status.end(LOOK, wrong=True)
        self.desk.tell("wrong", words=LOOK)

    def _arrived(self) -> None:
        """Begin the call that waited for files, if none of them was taken back."""
        if self.sheet.taken_back:
            self.status.end()
        else:
            self.run()

    def stop(self) -> None:
        """Ask the running call to end, or one that waits for a file not to begin."""
        self._call_off()
        running, watch = self._running, self._watch
        if running is None or watch is None:
            return
        self.status.stopping()
        watch.stopping()
        running.stop()

    def _call_off(self) -> None:
        if self.sheet.due is not None:
            self.sheet.due = None
            self.status.end()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the running call's end is shown; for tests and scripts."""
        watch = self._watch
        if watch is not None:
            watch.join(timeout)

    def show(self, news: CallUpdate) -> None:
        """Paint what happened to the running call."""
        if self.sheet.closed:
            return
        self.status.progress(news.progress, news.seconds)
        self.outcome.log(news.log)
        self.outcome.items(news.items)
        if self._call.came(news.items):
            self.desk.tell("arrived", words=ARRIVING)

    def end(self, event: Succeeded | Failed) -> None:
        """Paint the running call's end."""
        if self.sheet.closed:
            return
        marked = False
        if isinstance(event, Succeeded):
            self.outcome.done(event)
        else:
            marked = isinstance(event.error, InvalidInput) and self._mark(event.error)
            self.outcome.failed(event, marked)
        self._call.end(event)
        self.ended(self._call)
        # Only now may the next call begin: it paints on the same widgets.
        self._watch = None
        self.status.end(LOOK if marked else "", wrong=marked)
        self._lead(event, marked)

    def _lead(self, event: Succeeded | Failed, marked: bool) -> None:
        """Have the page go to what came of a call, as far as the person did nothing else."""
        if marked:
            self.desk.tell("wrong", words=LOOK)
        elif isinstance(event, Succeeded):
            self.desk.tell("arrived", words=READY)
        elif not isinstance(event.error, CallCancelled):
            self.desk.tell("arrived", words=FAILED)

    def _mark(self, error: InvalidInput) -> bool:
        """Show each message at its field; False when one of them has no field here."""
        placed = True
        for item in error.details or ():
            path = str(item.get("field", "")).split(".")
            placed = self.fields.show(path, str(item.get("message", ""))) and placed
        return placed and bool(error.details)

    def _unmarked(self) -> None:
        """No field is marked any more, so none is to be looked at."""
        if not self.busy:
            self.status.end()

    @property
    def busy(self) -> bool:
        """Whether a call is running, or waits for a file."""
        return self._watch is not None or self.sheet.due is not None

    def close(self) -> None:
        """Take the form off the page and out of memory; a running call is stopped."""
        self.stop()
        self.sheet.close()


def header(spec: ServiceSpec) -> str:
    """Return title, who made it, and what it does, as HTML."""
    facts = " \u00b7 ".join(filter(None, (spec.author, spec.license)))
    tags = "".join(html(tag, "em-chip", "span") for tag in spec.tags)
    line = html(facts, "", "span") + tags
    about = markdown(spec.description) if spec.description else ""
    if len(spec.description) > LONG:
        first, _, rest = spec.description.partition("\n\n")
        more = f"<details><summary>More</summary>{markdown(rest)}</details>" if rest else ""
        about = markdown(first) + more
    return (
        f'<div class="em-header">{html(spec.title, "em-title", attributes=" role=heading")}'
        f'<div class="em-byline">{line}</div><div class="em-prose">{about}</div></div>'
    )
