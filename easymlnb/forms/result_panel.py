"""The right side of a form: result, log and code of the last call."""

from collections.abc import Mapping
from html import escape
from typing import Any

from easymlnb.contract.errors import CallCancelled, CallerError, EasyMLNBError
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Failed, Part, Succeeded
from easymlnb.forms.choices import segments
from easymlnb.forms.fields import html
from easymlnb.forms.renderers import draw, text

KEPT_ITEMS = 500
"""Items of a stream that stay on the page; older ones go."""

KEPT_LOG = 64_000
"""Characters of a log that stay on the page."""


class Tabs:
    """Pages of which a row of buttons shows one."""

    def __init__(self, names: tuple[str, ...], pages: list[Any]) -> None:
        bar = segments(names, 0)
        bar.add_class("em-tabs")
        stack = W.Stack(pages, selected_index=0)
        # In the browser, so that turning a page needs no kernel.
        W.Link(source=(bar, "index"), target=(stack, "selected_index"))
        self.widget = W.VBox([bar, stack])


class CodePanel:
    """A call as code to copy."""

    def __init__(self) -> None:
        self.widget = W.HTML()

    def show(self, made: Mapping[str, str]) -> None:
        """Show a call in each language."""
        copy = '<button type="button" class="em-link" data-em-do="copy">Copy</button>'
        self.widget.value = "".join(
            f'<div class="em-copied"><div class="em-copied-head">{html(name, "em-legend", "span")}'
            f'{copy}</div><pre class="em-code" tabindex="0">{escape(written)}</pre></div>'
            for name, written in made.items()
        )


class ResultPanel:
    """What a call gave. Old results stay, dimmed, until there are new ones."""

    def __init__(self, stream: bool) -> None:
        self._stream = stream
        self._fresh = True
        self._pieces = ""
        self._about = W.HTML()
        self._failure = W.HTML()
        self._parts = W.VBox()
        self._parts.add_class("em-parts")
        self.log_widget = W.HTML()
        self.widget = W.VBox([self._failure, self._parts, self._about])
        self._empty("No result yet. Fill in the fields and press Run.")
        self._set_log("")

    def _empty(self, words: str) -> None:
        self._parts.children = (W.HTML(html(words, "em-nothing")),)

    def begin(self) -> None:
        """A call begins; what is shown is the last one's."""
        self._fresh = True
        self._pieces = ""
        self._failure.value = ""
        self._set_log("")
        self._parts.add_class("em-dim")

    def items(self, items: list[list[Part]]) -> None:
        """Append elements of a stream. Pieces of text grow together, as words of a sentence."""
        if not items:
            return
        shown = [] if self._fresh else list(self._parts.children)
        if self._fresh:
            self._about.value = ""  # it was about the last call
        self._undim()
        for parts in items:
            shown = self._appended(shown, parts)
        gone = shown[:-KEPT_ITEMS]
        self._parts.children = tuple(shown[-KEPT_ITEMS:])
        for widget in gone:
            W.close(widget)

    def _appended(self, shown: list[Any], parts: list[Part]) -> list[Any]:
        if not _piece(parts):
            self._pieces = ""
            return [*shown, *draw(parts)]
        first = not self._pieces
        self._pieces += str(parts[0].get("data", ""))
        whole = text({"kind": "text", "data": self._pieces})
        if first:
            return [*shown, whole]
        shown[-1].value = whole.value
        whole.close()
        return shown

    def log(self, more: str) -> None:
        """Append to the log."""
        if more:
            self._set_log(self._said + more)

    def _set_log(self, said: str) -> None:
        self._said = said[-KEPT_LOG:]
        shown = html(self._said, "em-code", "pre", ' tabindex="0"')
        self.log_widget.value = shown or html("The call printed nothing.", "em-nothing")

    def done(self, event: Succeeded) -> None:
        """Show the result."""
        if event.parts or not self._stream:
            self._replace(draw(event.parts))
        elif self._fresh:
            self._replace([])
        self._undim()
        request = event.request_id
        about = f"{event.seconds:.2f} s"
        if request:
            whole = escape(request, quote=True)
            about += f' \u00b7 <span title="{whole}">request {escape(request[:8])}</span>'
        self._about.value = f'<div class="em-about-call">{about}</div>'

    def _replace(self, widgets: list[Any]) -> None:
        old = self._parts.children
        if widgets:
            self._parts.children = tuple(widgets)
        else:
            self._empty("Finished. The service returned no result.")
        for widget in old:
            W.close(widget)

    def _undim(self) -> None:
        self._fresh = False
        self._parts.remove_class("em-dim")

    def failed(self, event: Failed, marked: bool) -> None:
        """Say what went wrong; ``marked`` tells that it stands at the fields already."""
        error = event.error
        if marked or isinstance(error, CallCancelled):
            self._parts.remove_class("em-dim")
        if isinstance(error, CallCancelled):
            self._failure.value = html(error.message, "em-nothing")
        elif not marked:
            # What a function says to its caller on purpose needs no traceback.
            trace = "" if isinstance(error, CallerError) else event.trace
            self._failure.value = _card(error, trace)
        if self._fresh and len(self._parts.children) == 1 and not self._about.value:
            # Before the first result there is nothing worth keeping beside the message.
            self._empty("" if self._failure.value else "No result yet.")


def joined(items: list[list[Part]]) -> list[Part]:
    """Return the elements of a stream as one result; pieces of text make one text."""
    found: list[Part] = []
    for parts in items:
        if _piece(parts) and _piece(found[-1:]):
            found[-1] = {**parts[0], "data": f"{found[-1]['data']}{parts[0].get('data', '')}"}
        else:
            found += parts
    return found


def _piece(parts: list[Part]) -> bool:
    return len(parts) == 1 and parts[0].get("kind") == "text" and not parts[0].get("title")


def _card(error: EasyMLNBError, trace: str) -> str:
    request = ""
    if error.request_id:
        copy = html(
            "Copy",
            "em-link",
            "button",
            f' type="button" data-em-do="copy" data-em-value="{escape(quoted(error), quote=True)}"',
        )
        request = f'<div class="em-help">Request {escape(error.request_id)} {copy}</div>'
    folded = ""
    if trace:
        folded = f"<details><summary>Traceback</summary>{html(trace, 'em-code', 'pre')}</details>"
    said = f"<b>{escape(error.message)}</b>{request}{folded}"
    return f'<div class="em-failure" role="alert">{said}</div>'


def quoted(error: EasyMLNBError) -> str:
    """Return an error as one sends it to whoever can help."""
    return f"{error.message} ({error.code}, request {error.request_id})"
