"""The widgets that forms are made of, lighter than as ipywidgets makes them.

ipywidgets gives each widget a layout and a style of its own, two more models for the kernel to
keep and for the page to load. Ours look as the stylesheet says, so all widgets of a form share
theirs. A ``FormContext`` knows all widgets of one form, whenever they were created, so that closing
it leaves nothing behind in a kernel that carries many.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import ipywidgets as W
from ipywidgets.widgets.widget_link import Link as JSLink


@dataclass(frozen=True, slots=True)
class Uploads:
    """How the visitor's browser sends files to the server.

    ``url`` is the path of the uploads route as the browser sees it; ``authorization`` the header
    that admits it there, "" where its cookies do.
    """

    url: str
    authorization: str = ""
    service: str = ""


class HasError(Protocol):
    """A field with a message."""

    def look_again(self) -> None:
        """Take the message away if it was about another value."""


_SHEET: ContextVar["FormContext | None"] = ContextVar("easymlnb_sheet", default=None)


class FormContext:
    """What the widgets of one form share, and the list of them.

    ``marked`` are the fields with messages; ``unmarked`` is called when a person did away with the
    last of them. ``sending`` are the widgets whose file is on its way; when none is any more,
    what is ``due`` then is done. ``taken_back`` says that one was meanwhile.
    """

    def __init__(self, uploads: Uploads | None = None) -> None:
        self.uploads = uploads
        self.closed = False
        self.layout: Any = W.Layout()
        self._styles: dict[type, Any] = {}
        self.widgets: set[Any] = set()
        self.marked: set[HasError] = set()
        self.unmarked: Callable[[], None] = lambda: None
        self.sending: set[Any] = set()
        self.due: Callable[[], None] | None = None
        self.taken_back = False
        self.most = 2**31
        """Widgets that it may have; ``full`` forms show what is more as JSON."""

    @property
    def full(self) -> bool:
        """Whether no more widgets should be made for values."""
        return len(self.widgets) >= self.most

    def style(self, kind: type) -> Any:
        """Return the form's one style of that kind."""
        if kind not in self._styles:
            self._styles[kind] = kind()
        return self._styles[kind]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Have the widgets that are made meanwhile join in, also those of threads begun here."""
        before = _SHEET.set(self)
        try:
            yield
        finally:
            _SHEET.reset(before)

    def heard(self) -> None:
        """A person did something: see what that changes."""
        if self.marked:
            for field in list(self.marked):
                field.look_again()
            if not self.marked:
                self.unmarked()
        if self.due is not None and not self.sending:
            due, self.due = self.due, None
            due()

    def close(self) -> None:
        """Free all widgets that joined; what still runs has nothing left to paint on."""
        self.closed = True
        for widget in list(self.widgets):
            widget.close()
        for shared in (self.layout, *self._styles.values()):
            shared.close()


def current() -> FormContext | None:
    """Return the sheet of the form that is being made."""
    return _SHEET.get()


def close(widget: Any) -> None:
    """Free a widget and all it holds."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()


class SharedStyleWidget:
    """Takes layout and style from the sheet that is active when it is made."""

    def __init__(self, *args: Any, **values: Any) -> None:
        self._sheet = sheet = current()
        if sheet is not None:
            kinds = type(self).class_traits()  # type: ignore[attr-defined]
            if "layout" in kinds:
                values.setdefault("layout", sheet.layout)
            if "style" in kinds:
                values.setdefault("style", sheet.style(kinds["style"].klass))
            sheet.widgets.add(self)
        super().__init__(*args, **values)

    def _handle_msg(self, message: Any) -> None:
        # What a person's doing brings about (a row, a result) belongs to the same form.
        if self._sheet is None:
            super()._handle_msg(message)  # type: ignore[misc]
            return
        with self._sheet.active():
            super()._handle_msg(message)  # type: ignore[misc]
            self._sheet.heard()

    def close(self) -> None:
        if self._sheet is not None:
            self._sheet.widgets.discard(self)
            self._sheet.sending.discard(self)
        super().close()  # type: ignore[misc]


def lean(kind: Any) -> Any:
    """Return a kind of widget with shared layout and style."""
    return type(
        kind.__name__, (SharedStyleWidget, kind), {"__module__": __name__, "__doc__": kind.__doc__}
    )


Accordion = lean(W.Accordion)
Box = lean(W.Box)
Button = lean(W.Button)
Checkbox = lean(W.Checkbox)
ColorPicker = lean(W.ColorPicker)
Combobox = lean(W.Combobox)
DatePicker = lean(W.DatePicker)
Dropdown = lean(W.Dropdown)
FloatLogSlider = lean(W.FloatLogSlider)
FloatProgress = lean(W.FloatProgress)
FloatRangeSlider = lean(W.FloatRangeSlider)
FloatSlider = lean(W.FloatSlider)
FloatText = lean(W.FloatText)
HBox = lean(W.HBox)
HTML = lean(W.HTML)
IntRangeSlider = lean(W.IntRangeSlider)
IntSlider = lean(W.IntSlider)
IntText = lean(W.IntText)
Layout = lean(W.Layout)
Link = lean(JSLink)
NaiveDatetimePicker = lean(W.NaiveDatetimePicker)
Output = lean(W.Output)
Password = lean(W.Password)
RadioButtons = lean(W.RadioButtons)
Stack = lean(W.Stack)
TagsInput = lean(W.TagsInput)
Text = lean(W.Text)
Textarea = lean(W.Textarea)
TimePicker = lean(W.TimePicker)
ToggleButtons = lean(W.ToggleButtons)
VBox = lean(W.VBox)
