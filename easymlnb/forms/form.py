"""The form of a service: fields on the left, what came of them on the right."""

from functools import cache
from importlib.resources import files
from typing import Any

import ipywidgets as W

from easymlnb.contract.errors import EasyMLNBError, InternalError, InvalidInput
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.caller import Caller, Done, Failed, Running
from easymlnb.forms.code import snippets
from easymlnb.forms.fields import html
from easymlnb.forms.nested import Group
from easymlnb.forms.node import Node
from easymlnb.forms.order import in_order
from easymlnb.forms.outcome import Outcome
from easymlnb.forms.status import Status
from easymlnb.forms.texts import markdown
from easymlnb.forms.watch import News, Watch
from easymlnb.forms.widgets import make

LONG = 400
"""Characters of a description that are shown unfolded."""

PRESETS = 8
"""Examples that get a button."""

LOOK = "Please look at the marked fields."


@cache
def style() -> str:
    """Return the stylesheet of form, app and catalogue."""
    return files("easymlnb.forms").joinpath("style.css").read_text(encoding="utf-8")


class Form:
    """A form made only from a spec. Show it with ``display(form)`` or place ``form.widget``.

    ``caller`` runs the calls. ``url`` is the address of the Jupyter server for the code that is
    shown; without it the code finds the server by itself. ``framed`` brings stylesheet and title
    along; a page that has both of its own goes without.
    """

    def __init__(
        self, spec: ServiceSpec, caller: Caller, *, url: str = "", framed: bool = True
    ) -> None:
        self.spec = spec
        self._caller = caller
        self._url = url
        self._running: Running | None = None
        self._watch: Watch | None = None
        self.fields = Group(Node.root(spec.input), make)
        self.status = Status(self.run, self.stop)
        self.outcome = Outcome(spec.stream)
        self.outcome.code(snippets(spec, self.values(), url))
        self.fields.widget.remove_class("em-group")
        inputs = W.VBox([self.fields.widget, self.status.widget, *self._presets()])
        inputs.add_class("em-card")
        inputs.add_class("em-inputs")
        two = W.Box([inputs, self.outcome.widget])
        two.add_class("em-two")
        self.widget = W.VBox([*(_frame(spec) if framed else ()), two])
        self.widget.add_class("em-form")
        in_order(self.widget)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = self.widget._repr_mimebundle_(**kwargs)
        if isinstance(found, dict):
            # What is left of it where no kernel stands behind the page.
            found["text/plain"] = f"The form of {self.spec.title!r}; run the cell to use it."
        return found

    def _presets(self) -> list[Any]:
        buttons = []
        for name, example in zip(preset_names(self.spec), self.spec.examples, strict=True):
            button = W.Button(description=name, tooltip="Fill in this example")
            button.on_click(lambda _, values=example: self.fill(values))
            buttons.append(button)
        if not buttons:
            return []
        row = W.HBox(buttons[:PRESETS])
        row.add_class("em-presets")
        return [W.VBox([W.HTML(html("Examples", "em-legend")), row])]

    def values(self) -> dict[str, Any]:
        """Return what is filled in, as JSON values; what is left empty is left out."""
        found: dict[str, Any] = self.fields.get()
        return found

    def fill(self, values: dict[str, Any]) -> None:
        """Fill in values, as an example does; all other fields go back to their defaults."""
        self.fields.clear()
        self.fields.set(values)

    def run(self) -> None:
        """Call the service with what is filled in and return at once; one call at a time."""
        if self._watch is not None:
            return
        self.fields.clear()
        if self.fields.check() is not None:
            self.status.end(LOOK)
            return
        values = self.values()
        self.outcome.code(snippets(self.spec, values, self._url))
        self.outcome.begin()
        self.status.start()
        self._watch = watch = Watch(self)
        try:
            self._running = self._caller.start(values, watch.on)
        except EasyMLNBError as error:
            watch.on(Failed(error))
        except Exception:
            # The form must come back to life; the cell's output has the traceback.
            watch.on(Failed(InternalError("The call could not be made.")))
            raise

    def stop(self) -> None:
        """Ask the running call to end."""
        running, watch = self._running, self._watch
        if running is None or watch is None:
            return
        self.status.stopping()
        watch.stopping()
        running.stop()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the running call's end is shown; for tests and scripts."""
        watch = self._watch
        if watch is not None:
            watch.join(timeout)

    def show(self, news: News) -> None:
        """Paint what happened to the running call."""
        self.status.progress(news.progress, news.seconds)
        self.outcome.log(news.log)
        self.outcome.items(news.items)

    def end(self, event: Done | Failed) -> None:
        """Paint the running call's end."""
        said = ""
        if isinstance(event, Done):
            self.outcome.done(event)
        else:
            marked = isinstance(event.error, InvalidInput) and self._mark(event.error)
            said = LOOK if marked else ""
            self.outcome.failed(event, marked)
        # Only now may the next call begin: it paints on the same widgets.
        self._watch = None
        self.status.end(said)

    def _mark(self, error: InvalidInput) -> bool:
        """Show each message at its field; False when one of them has no field here."""
        placed = True
        for item in error.details or ():
            path = str(item.get("field", "")).split(".")
            placed = self.fields.show(path, str(item.get("message", ""))) and placed
        return placed and bool(error.details)

    def close(self) -> None:
        """Take the form off the page and out of memory; a running call is stopped."""
        self.stop()
        self.outcome.close()
        close(self.widget)


def _frame(spec: ServiceSpec) -> list[Any]:
    look = W.HTML(f"<style>{style()}</style>")
    look.add_class("em-style")
    return [look, W.HTML(header(spec))]


def close(widget: Any) -> None:
    """Close a widget and all it holds."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()


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


def preset_names(spec: ServiceSpec) -> list[str]:
    """Return a few words for each example: what no other example has, else its number."""
    found = [_words(spec, example) for example in spec.examples]
    names = []
    for at, words in enumerate(found):
        others = [word for other in found[:at] + found[at + 1 :] for word in other]
        names.append(next((word for word in words if word not in others), f"Example {at + 1}"))
    return names


def _words(spec: ServiceSpec, example: dict[str, Any]) -> list[str]:
    root = Node.root(spec.input)
    found = []
    for name, value in example.items():
        if isinstance(value, str | int | float) and len(str(value)) <= 24:
            title = root.child((root.get("properties") or {}).get(name), name).title
            found.append(f"{title}: {value}"[:40])
        elif isinstance(value, dict) and isinstance(value.get("name"), str):
            found.append(value["name"][:40])
    return found
