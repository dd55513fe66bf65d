"""A field: a control with its label above, its help and its error below."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from traitlets import TraitError

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.markup import Markup, element, join

MISSING: Final[Any] = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
"""No value; the parameter is left out of the call."""

EMPTY_FIELD = "Please fill in this field."


def is_empty(value: Any) -> bool:
    """Whether a value empties a control that holds text."""
    return value is MISSING or value is None


def described(node: SchemaNode) -> dict[str, Any]:
    """Return the traits of a widget that shows the title itself."""
    return {"description": node.title, "description_allow_html": False, "tooltip": node.help}


class Control(Protocol):
    """An input element. ``get`` and ``set`` use JSON values, or ``MISSING``."""

    widget: Any
    labeled: bool
    """Whether it shows the title itself, tied to its input for screen readers."""
    visible: bool

    def get(self) -> Any: ...

    def set(self, value: Any) -> None: ...

    def check(self) -> str | None:
        """Return an error message, "" if the message is shown inside already, else ``None``."""

    def show_error(self, path: Sequence[str], message: str) -> bool:
        """Show a message at the field at ``path`` inside; False if there is no such field."""

    def clear_errors(self) -> None:
        """Remove the messages inside."""


class NoFields:
    """Mixin of controls without fields inside."""

    __slots__ = ()

    def show_error(self, path: Sequence[str], message: str) -> bool:
        return False

    def clear_errors(self) -> None:
        pass


@dataclass(slots=True)
class Simple(NoFields):
    """A control made of one widget.

    A value that was set is returned unchanged, with all its digits and its zone, until the user
    changes the widget.

    Parameters
    ----------
    widget : ipywidgets.Widget
    get : callable
        Returns the widget's value as a JSON value, or ``MISSING`` to leave the parameter out.
    set : callable
        Shows a value, from a default or an example; raises an exception if it cannot.
    labeled : bool, default True
        Whether the widget shows the title itself.
    visible : bool, default True
    problem : callable, optional
        Returns an error message for the field, or ``None``.
    state : callable, optional
        Returns what changes when the user changes the widget. Default: ``get``.
    ends : tuple of str, optional
        The smallest and the largest value of a slider, shown below it.
    """

    widget: Any
    get: Callable[[], Any]
    set: Callable[[Any], None]
    labeled: bool = True
    visible: bool = True
    problem: Callable[[], str | None] = lambda: None
    state: Callable[[], Any] | None = None
    ends: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        read, write, state = self.get, self.set, self.state or self.get
        given, shown = MISSING, None

        def get() -> Any:
            return given if given is not MISSING and state() == shown else read()

        def set(value: Any) -> None:
            nonlocal given, shown
            given = MISSING
            write(value)
            given, shown = value, state()

        self.get, self.set = get, set

    def check(self) -> str | None:
        return self.problem()


class Field:
    """A control with its label, help and error message."""

    def __init__(self, node: SchemaNode, control: Control, *, required: bool) -> None:
        self.node = node
        self.control = control
        self.required = required
        self.visible = control.visible
        self._error = W.HTML()
        parts = [control.widget, self._error]
        if not control.labeled and node.title:
            parts.insert(0, W.HTML(element("div.em-legend", node.title)))
        if below := _below(node, control):
            parts.insert(-1, W.HTML(below))
        self.widget = W.box(*parts, classes="em-field em-required" if required else "em-field")
        if node.has_default:
            self.set(node.get("default"))
        self._initial = self.get()
        self._rejected: Any = MISSING
        self._context = W.current()
        W.keep_message_order(self.widget)

    def get(self) -> Any:
        """Return the JSON value, or ``MISSING``."""
        return self.control.get()

    def set(self, value: Any) -> None:
        """Fill in a JSON value, as an example does; ``MISSING`` empties the field."""
        # A value that the widget cannot show (beyond a slider's end) must not break the form.
        with suppress(TraitError, ValueError, TypeError, KeyError, AttributeError):
            self.control.set(value)

    def reset(self) -> None:
        """Fill in the initial value."""
        self.set(self._initial)

    def check(self) -> bool:
        """Show errors that need no call: an empty required field, invalid JSON."""
        problem = self.control.check()
        uploading = self._context is not None and self.control.widget in self._context.uploading
        if problem is None and self._needed and not uploading and self.get() is MISSING:
            problem = EMPTY_FIELD
        if problem:
            self.show_error((), problem)
        return problem is None

    @property
    def _needed(self) -> bool:
        """Whether it must have a value: without one, the call would use a default not shown."""
        return self.required or (self.node.has_default and self._initial is not MISSING)

    def show_error(self, path: Sequence[str], message: str) -> None:
        """Show a message here, or at the field inside that ``path`` leads to."""
        if path and self.control.show_error(path, message):
            return
        self._error.value = element("div.em-error", message, role="alert") if message else ""
        self._error.remove_class("em-outdated")
        self.widget.add_class("em-invalid")
        self._rejected = self.get()
        if self._context is not None:
            self._context.invalid.add(self)

    def drop_outdated_error(self) -> None:
        """Hide this field's message if it was about another value."""
        if self.get() != self._rejected:
            # It keeps its space: a button that moves away under a click is not clicked.
            self._error.add_class("em-outdated")
            self._set_valid()

    def clear_errors(self) -> None:
        """Remove this field's message and those inside."""
        self._error.value = ""
        self._set_valid()
        self.control.clear_errors()

    def _set_valid(self) -> None:
        self.widget.remove_class("em-invalid")
        if self._context is not None:
            self._context.invalid.discard(self)


def _below(node: SchemaNode, control: Control) -> Markup:
    """Return the ends of a slider, which it announces to screen readers itself, and the help."""
    ends = control.ends if isinstance(control, Simple) else None
    return join(
        (
            element("div.em-ends", *(element("span", end) for end in ends), aria_hidden="true")
            if ends
            else "",
            element("div.em-help", node.help) if node.help else "",
        )
    )


Make = Callable[[SchemaNode, bool], Field]
"""Makes a field; ``bool`` says whether it is required. Controls with fields inside get it."""
