"""A field: one control with its label above, its help and its error below."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Protocol

from traitlets import TraitError

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.message_order import keep_message_order

MISSING: Final[Any] = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
"""No value was given; the parameter is left out of the call."""

EMPTY_FIELD = "Please fill in this field."


class Control(Protocol):
    """What a person works with. ``get`` and ``set`` speak JSON values, or ``MISSING``."""

    widget: Any
    labelled: bool
    """Whether it shows the title itself, tied to its input for screen readers."""
    visible: bool

    def get(self) -> Any: ...

    def set(self, value: Any) -> None: ...

    def check(self) -> str | None:
        """Return None when all is well, a sentence when not, "" when it is shown inside already."""

    def show(self, path: Sequence[str], message: str) -> bool:
        """Show a message at what lies at ``path`` inside; False when nothing does."""

    def clear(self) -> None:
        """Take away the messages inside."""


@dataclass(slots=True)
class Simple:
    """A control made of one widget.

    A value that was set is returned unchanged, with all its digits and its zone, until a person
    changes the widget.

    Parameters
    ----------
    widget : ipywidgets.Widget
    get : callable
        Returns the widget's value as a JSON value, or ``MISSING`` to leave the parameter out.
    set : callable
        Shows a value, from a default or an example; raises an exception if it cannot.
    labelled : bool, default True
        Whether the field has a label.
    visible : bool, default True
    problem : callable, optional
        Returns an error message for the field, or ``None``.
    state : callable, optional
        Returns what changes when a person changes the widget. Default: ``get``.
    """

    widget: Any
    get: Callable[[], Any]
    set: Callable[[Any], None]
    labelled: bool = True
    visible: bool = True
    problem: Callable[[], str | None] = lambda: None
    state: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        read, put, state = self.get, self.set, self.state or self.get
        given, shown = MISSING, None

        def get() -> Any:
            return given if given is not MISSING and state() == shown else read()

        def set(value: Any) -> None:
            nonlocal given, shown
            given = MISSING
            put(value)
            given, shown = value, state()

        self.get, self.set = get, set

    def check(self) -> str | None:
        return self.problem()

    def show(self, path: Sequence[str], message: str) -> bool:
        return False

    def clear(self) -> None:
        pass


def html(text: str, kind: str, tag: str = "div", attributes: str = "") -> str:
    """Return an element around text, which stays text."""
    return f'<{tag} class="{kind}"{attributes}>{escape(text)}</{tag}>' if text else ""


class Field:
    """A control in its frame."""

    def __init__(self, node: SchemaNode, control: Control, *, required: bool) -> None:
        self.node = node
        self.control = control
        self.required = required
        self.visible = control.visible
        self._error = W.HTML()
        parts = [control.widget, self._error]
        if not control.labelled and node.title:
            parts.insert(0, W.HTML(html(node.title, "em-legend")))
        if node.help:
            parts.insert(-1, W.HTML(html(node.help, "em-help")))
        self.widget = W.VBox(parts)
        self.widget.add_class("em-field")
        if required:
            self.widget.add_class("em-required")
        if node.has_default:
            self.set(node.get("default"))
        self._initial = self.get()
        self._refused: Any = MISSING
        self._sheet = W.current()
        keep_message_order(self.widget)

    def get(self) -> Any:
        """Return the JSON value, or ``MISSING``."""
        return self.control.get()

    def set(self, value: Any) -> None:
        """Fill in a JSON value, as an example does; ``MISSING`` empties the field."""
        # What the widget cannot show (an example beyond a slider's end) must not break the form.
        with suppress(TraitError, ValueError, TypeError, KeyError, AttributeError):
            self.control.set(value)

    def reset(self) -> None:
        """Go back to what stood here at first."""
        self.set(self._initial)

    def check(self) -> bool:
        """Show what can be told without the service: an empty required field, broken JSON."""
        problem = self.control.check()
        coming = self._sheet is not None and self.control.widget in self._sheet.sending
        if problem is None and self._needed and not coming and self.get() is MISSING:
            problem = EMPTY_FIELD
        if problem:
            self.show((), problem)
        return problem is None

    @property
    def _needed(self) -> bool:
        """Whether it must be filled in: one that was emptied would not send what it shows."""
        return self.required or (self.node.has_default and self._initial is not MISSING)

    def show(self, path: Sequence[str], message: str) -> None:
        """Show a message here, or as deep inside as ``path`` leads."""
        if path and self.control.show(path, message):
            return
        self._error.value = html(message, "em-error", attributes=' role="alert"')
        self.widget.add_class("em-invalid")
        self._refused = self.get()
        if self._sheet is not None:
            self._sheet.marked.add(self)

    def look_again(self) -> None:
        """Take away this field's message if it was about another value."""
        if self.get() != self._refused:
            message = self._error.value
            self._unmark()
            # Its place stays: a button that moves away under a click is not clicked.
            self._error.value = message.replace('"em-error"', '"em-error em-past"', 1)

    def clear(self) -> None:
        """Take away this field's message and those inside."""
        self._unmark()
        self.control.clear()

    def _unmark(self) -> None:
        self._error.value = ""
        self.widget.remove_class("em-invalid")
        if self._sheet is not None:
            self._sheet.marked.discard(self)


Make = Callable[[SchemaNode, bool], Field]
"""Makes a field; ``bool`` says whether it is required. Handed to controls that hold fields."""
