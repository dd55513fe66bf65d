"""ipywidgets with the layout and style of their form, which are lighter than the originals.

ipywidgets gives each widget a layout and a style of its own: two more models for the kernel and
for the page. Our stylesheet decides how widgets look, so all widgets of a form share theirs. A
``FormContext`` lists all widgets of a form, whenever they were created, so that closing the form
leaves nothing behind.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import ipywidgets as W
from ipywidgets.widgets.widget_link import Link as JSLink
from traitlets import validate

from easymlnb.forms.markup import escape


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """How the visitor's browser sends files to the server.

    ``url`` is the path of the uploads route as the browser sees it; ``authorization`` the header
    to send with an upload, "" where cookies suffice.
    """

    url: str
    authorization: str = ""
    service: str = ""


class HasError(Protocol):
    """A field with a message."""

    def drop_outdated_error(self) -> None:
        """Hide the message if it was about another value."""


_CURRENT: ContextVar["FormContext | None"] = ContextVar("easymlnb_form", default=None)


class FormContext:
    """What the widgets of one form share, and the list of them.

    Attributes
    ----------
    page_has_scripts : whether the page brings the scripts of our widgets, so that these need not
    invalid : the fields with messages
    on_all_valid : called when the user has corrected the last of them
    uploading : the widgets whose file is being uploaded
    after_uploads : called once when all uploads are complete
    upload_removed : whether a file was removed while ``after_uploads`` waited
    batch : context in which changes of widgets may be sent together at the end
    max_widgets : limit above which rows and groups are edited as JSON
    """

    def __init__(
        self,
        uploads: UploadSettings | None = None,
        *,
        page_has_scripts: bool = False,
        batch: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.uploads = uploads
        self.batch = batch
        self.page_has_scripts = page_has_scripts
        self.closed = False
        self.layout: Any = W.Layout()
        self._styles: dict[type, Any] = {}
        self.widgets: set[Any] = set()
        self.invalid: set[HasError] = set()
        self.on_all_valid: Callable[[], None] = lambda: None
        self.uploading: set[Any] = set()
        self.after_uploads: Callable[[], None] | None = None
        self.upload_removed = False
        self.max_widgets = 2**31

    @property
    def full(self) -> bool:
        """Whether the form has as many widgets as it may have."""
        return len(self.widgets) >= self.max_widgets

    def style(self, kind: type) -> Any:
        """Return the form's only style of that kind."""
        if kind not in self._styles:
            self._styles[kind] = kind()
        return self._styles[kind]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Add the widgets that are created meanwhile, also in threads that are started here."""
        before = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(before)

    def on_user_event(self) -> None:
        """Update messages, and start what waited for uploads."""
        if self.invalid:
            for field in list(self.invalid):
                field.drop_outdated_error()
            if not self.invalid:
                self.on_all_valid()
        if self.after_uploads is not None and not self.uploading:
            start, self.after_uploads = self.after_uploads, None
            start()

    def close(self) -> None:
        """Free all widgets of the form; a call that still runs displays nothing."""
        self.closed = True
        for widget in list(self.widgets):
            widget.close()
        for model in (self.layout, *self._styles.values()):
            model.close()


def current() -> FormContext | None:
    """Return the context of the form that is being built."""
    return _CURRENT.get()


def is_full() -> bool:
    """Whether the form that is being built may have no more widgets."""
    context = current()
    return context is not None and context.full


def close(widget: Any) -> None:
    """Free a widget and its children."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()


def keep_message_order(widget: Any) -> None:
    """Have the messages of a widget and its children handled in the order of the user's actions.

    JupyterLab sends the messages of all widgets to one subshell, one after the other. ipykernel
    7.4 sends each of them on to the shell that last wrote to its widget (so that a cell can await
    a reply): a field created by a cell is then served by the main thread, a button that changed
    since by the subshell. A click could so overtake the value that was typed before it, and the
    call would run with the old value. The widgets of a form await nothing.
    """
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
    for child in getattr(widget, "children", ()):
        keep_message_order(child)


class SharedStyleWidget:
    """Mixin: layout and style come from the context that is active at creation."""

    def __init__(self, *args: Any, **values: Any) -> None:
        self._context = context = current()
        if context is not None:
            traits = type(self).class_traits()  # type: ignore[attr-defined]
            if "layout" in traits:
                values.setdefault("layout", context.layout)
            if "style" in traits:
                values.setdefault("style", context.style(traits["style"].klass))
            context.widgets.add(self)
        super().__init__(*args, **values)

    def _handle_msg(self, message: Any) -> None:
        if self._context is None:
            super()._handle_msg(message)  # type: ignore[misc]
            return
        # Widgets that a user's action creates (a row, a result) belong to the same form.
        with self._context.active():
            super()._handle_msg(message)  # type: ignore[misc]
            self._context.on_user_event()

    def close(self) -> None:
        if self._context is not None:
            self._context.widgets.discard(self)
            self._context.uploading.discard(self)
        super().close()  # type: ignore[misc]


def _shared(kind: Any) -> Any:
    """Return a kind of widget with shared layout and style."""
    return type(
        kind.__name__, (SharedStyleWidget, kind), {"__module__": __name__, "__doc__": kind.__doc__}
    )


class HTML(_shared(W.HTML)):  # type: ignore[misc]
    """A widget that displays ``Markup``; any other text is escaped."""

    @validate("value")
    def _escape(self, proposal: Any) -> str:
        return escape(proposal["value"])


def box(*children: Any, kind: Any = None, classes: str = "") -> Any:
    """Return a box with children and CSS classes; ``kind`` is ``VBox`` unless given."""
    made = (kind or __getattr__("VBox"))(children)
    for name in classes.split():
        made.add_class(name)
    return made


def change_classes(widget: Any, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    """Change the CSS classes of a widget in one message to the page."""
    kept = [name for name in widget._dom_classes if name not in {*add, *remove}]
    widget._dom_classes = (*kept, *add)


Link = _shared(JSLink)


@cache
def _shared_kind(name: str) -> Any:
    """Return a class of ipywidgets with shared layout and style; it is made on first use."""
    return _shared(getattr(W, name))


def __getattr__(name: str) -> Any:
    """Return a class of ipywidgets with shared layout and style."""
    return _shared_kind(name)
