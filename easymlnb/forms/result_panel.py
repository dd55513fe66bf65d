"""The right side of a form: result, log and code of the last call."""

from collections.abc import Mapping
from typing import Any

from easymlnb.contract.errors import CallCancelled, CallerError, EasyMLNBError
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Failed, Part, Succeeded
from easymlnb.forms.choices import segments
from easymlnb.forms.flag_bar import FlagBar, flag_button
from easymlnb.forms.markup import Markup, button, element, join
from easymlnb.forms.renderers import draw, text

KEPT_ITEMS = 500
"""Items of a stream that stay on the page; older ones are removed."""

KEPT_LOG = 64_000
"""Characters of a log that stay on the page."""


class Tabs:
    """Pages of which a row of buttons shows one."""

    def __init__(self, pages: Mapping[str, Any]) -> None:
        bar = segments(list(pages), 0)
        bar.add_class("em-tabs")
        stack = W.Stack(list(pages.values()), selected_index=0)
        # Linked in the browser, so that changing the page needs no kernel.
        W.Link(source=(bar, "index"), target=(stack, "selected_index"))
        self.widget = W.box(bar, stack)


class CodePanel:
    """A call as code to copy.

    ``link`` leads to the page on assistants; it is empty if the server's address is unknown.
    """

    def __init__(self, link: Markup | None = None) -> None:
        self.widget = W.HTML()
        self.link = link or Markup()

    def show(self, snippets: Mapping[str, str]) -> None:
        """Show a call in each language."""
        shown = join(
            element(
                "div.em-copied",
                element(
                    "div.em-copied-head",
                    element("span.em-legend", language),
                    button("Copy", "copy"),
                ),
                element("pre.em-code", code, tabindex=0),
            )
            for language, code in snippets.items()
        )
        self.widget.value = join((shown, self.link))


class ResultPanel:
    """The result of the last call. An old result stays, dimmed, until there is a new one.

    ``run`` is the label of the button that makes a result.
    """

    def __init__(self, stream: bool, flags: FlagBar | None = None, run: str = "Run") -> None:
        self._stream = stream
        self._flags = flags
        self._outdated = True
        self._pieces = ""
        self._about = W.HTML()
        self._failure = W.HTML()
        self._parts = W.box(classes="em-parts")
        self.log_widget = W.HTML()
        line = () if flags is None else (flags.widget,)
        self.widget = W.box(self._failure, self._parts, self._about, *line)
        self._show_message(f"No result yet. Fill in the fields and press {run}.")
        self._set_log("")

    def _show_message(self, message: str) -> None:
        shown = element("div.em-nothing", message) if message else ""
        self._parts.children = (W.HTML(shown),)

    def begin(self) -> None:
        """Prepare for a new call: what is shown is the result of the last one."""
        self._outdated = True
        self._pieces = ""
        self._failure.value = ""
        if self._flags is not None:
            self._flags.close()
        self._set_log("")
        self._parts.add_class("em-dim")

    def items(self, items: list[list[Part]]) -> None:
        """Append elements of a stream. Pieces of text are joined, as words of a sentence."""
        if not items:
            return
        shown = [] if self._outdated else list(self._parts.children)
        if self._outdated:
            self._about.value = ""
        self._set_current()
        for parts in items:
            shown = self._appended(shown, parts)
        self._parts.children = tuple(shown[-KEPT_ITEMS:])
        for widget in shown[:-KEPT_ITEMS]:
            W.close(widget)

    def _appended(self, shown: list[Any], parts: list[Part]) -> list[Any]:
        if not _is_piece(parts):
            self._pieces = ""
            return [*shown, *draw(parts)]
        first = not self._pieces
        self._pieces += str(parts[0].get("data", ""))
        whole = text({"kind": "text", "data": self._pieces})
        if first:
            return [*shown, W.HTML(whole)]
        shown[-1].value = whole
        return shown

    def log(self, more: str) -> None:
        """Append to the log."""
        if more:
            self._set_log(self._log + more)

    def _set_log(self, log: str) -> None:
        self._log = log[-KEPT_LOG:]
        if self._log:
            self.log_widget.value = element("pre.em-code", self._log, tabindex=0)
        else:
            self.log_widget.value = element("div.em-nothing", "The call printed nothing.")

    def succeed(self, event: Succeeded) -> None:
        """Show the result."""
        if event.parts or not self._stream or self._outdated:
            self._replace(draw(event.parts, self._parts.children))
        self._set_current()
        request = event.request_id
        about: list[object] = [f"{event.seconds:.2f} s"]
        if request:
            about.append(element("span", f"request {request[:8]}", title=request))
            if self._flags is not None:
                about.append(flag_button(request))
        self._about.value = element("div.em-about-call", join(about, " \u00b7 "))

    def _replace(self, widgets: list[Any]) -> None:
        old = self._parts.children
        if widgets:
            self._parts.children = tuple(widgets)
        else:
            self._show_message("Finished. The service returned no result.")
        for widget in old:
            if widget not in widgets:
                W.close(widget)

    def _set_current(self) -> None:
        self._outdated = False
        self._parts.remove_class("em-dim")

    def fail(self, event: Failed, at_fields: bool) -> None:
        """Show an error, unless the fields show it (``at_fields``)."""
        error = event.error
        if at_fields or isinstance(error, CallCancelled):
            self._parts.remove_class("em-dim")
        if isinstance(error, CallCancelled):
            self._failure.value = element("div.em-nothing", error.message)
        elif not at_fields:
            # An error that a function raises for its caller needs no traceback.
            trace = "" if isinstance(error, CallerError) else event.trace
            flag = flag_button(error.request_id) if self._flags is not None else None
            self._failure.value = _card(error, trace, flag)
        if self._outdated and len(self._parts.children) == 1 and not self._about.value:
            # There is no result yet that could stay next to the message.
            self._show_message("" if self._failure.value else "No result yet.")


def joined(items: list[list[Part]]) -> list[Part]:
    """Return the elements of a stream as one result; pieces of text make one text."""
    result: list[Part] = []
    for parts in items:
        if _is_piece(parts) and _is_piece(result[-1:]):
            result[-1] = {**parts[0], "data": f"{result[-1]['data']}{parts[0].get('data', '')}"}
        else:
            result += parts
    return result


def _is_piece(parts: list[Part]) -> bool:
    return len(parts) == 1 and parts[0].get("kind") == "text" and not parts[0].get("title")


def _card(error: EasyMLNBError, trace: str, flag: Markup | None) -> Markup:
    request = folded = None
    if error.request_id:
        quoted = f"{error.message} ({error.code}, request {error.request_id})"
        copy = button("Copy", "copy", quoted)
        request = element("div.em-help", f"Request {error.request_id} ", copy, flag)
    if trace:
        folded = element("details", element("summary", "Traceback"), element("pre.em-code", trace))
    message = element("b", error.message)
    return element("div.em-failure", message, request, folded, role="alert")
