"""The content of an app page: the form, the results, and the actions on them."""

import json
from dataclasses import replace
from html import escape
from typing import Any

from easymlnb.apps import permalinks
from easymlnb.apps.compare import side_by_side
from easymlnb.apps.history import History, Run
from easymlnb.contract.names import url_path
from easymlnb.contract.snippets import snippets
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Caller, Succeeded
from easymlnb.forms.examples import gallery
from easymlnb.forms.form import Ended, Form
from easymlnb.forms.layout_builder import LayoutBuilder
from easymlnb.forms.message_order import keep_message_order
from easymlnb.forms.result_panel import Tabs
from easymlnb.forms.sanitize import markdown
from easymlnb.forms.shared_style import FormContext, Uploads

READABLE = 100_000
"""Characters of a run that are saved with a line for each value."""

__all__ = ["AppPage", "Uploads"]


class AppPage:
    """The widgets of one visitor's page. Place ``widget``; ``close`` frees all of it.

    ``base`` is the path of easymlnb's routes as the visitor's browser sees it. ``values`` are
    filled in at first. ``uploads`` says how the browser sends files; without it they go through
    the kernel's connection. ``public`` pages are for visitors without a login.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        caller: Caller,
        *,
        base: str,
        values: dict[str, Any] | None = None,
        uploads: Uploads | None = None,
        public: bool = False,
    ) -> None:
        self.spec = spec
        self._base = base.rstrip("/") + "/"
        self._public = public
        self._history = History(spec)
        self._shown = 0
        if uploads is not None:
            uploads = replace(uploads, service=spec.name)
        self.form = Form(spec, caller, sheet=FormContext(uploads), place="app")
        self.form.ended = self._ended
        self.form.acts |= {
            "again": self._again,
            "compare": self._compare,
            "download": self._download,
            "draft": self._draft,
            "link": self._link,
            "history": self._remember,
            "open": lambda code: self._fill(permalinks.unfold(code)),
            "origin": self._origin,
            "restore": lambda raw: self._fill(permalinks.read(raw)),
            "show": self._show,
            "uncompare": lambda _: self._uncompare(),
        }
        with self.form.sheet.active():
            self.widget = self._draw()
        keep_message_order(self.widget)
        if values:
            self.form.fill(values)

    def _draw(self) -> Any:
        form = self.form
        self._runs = W.HTML()
        self._runs.add_class("em-card")
        self._runs.add_class("em-visit")
        self._pair = W.VBox()
        # A visitor without a login has no token, so the code would not work for them.
        self._code = W.HTML() if self._public else form.code.widget
        page = self._usual() if self.spec.app is None else self._custom(self.spec.app)
        api = W.VBox([W.HTML(_api(self.spec, self._base, self._public)), self._code])
        about = W.HTML(_about(self.spec))
        for card in (api, about):
            card.add_class("em-card")
        pages = Tabs(("AppPage", "API", "About"), [page, api, about])
        form.widget.children = (pages.widget, form.desk)
        form.widget.add_class("em-app")
        return form.widget

    def _usual(self) -> Any:
        """Input on the left, what came of it on the right."""
        right = W.VBox([self._result(), self._history_of_runs()])
        right.add_class("em-right")
        two = W.Box([self.form.inputs(), right])
        two.add_class("em-two")
        return two

    def _custom(self, tree: dict[str, Any]) -> Any:
        """What the author laid out; without a result nobody would see what happened."""
        form = self.form
        parts = {
            "form": self._usual,
            "inputs": form.inputs,
            "run": lambda: form.status.widget,
            "result": self._result,
            "examples": lambda: W.HTML(gallery(self.spec)),
            "history": self._history_of_runs,
            "code": lambda: self._code,
        }
        arranger = LayoutBuilder(form.fields.fields, parts)
        page = arranger.build(tree)
        more = [] if "result" in arranger.placed else [self._result()]
        whole = W.VBox([page, *more])
        whole.add_class("em-right")
        return whole

    def _result(self) -> Any:
        card = W.VBox([W.HTML(_HEAD), self.form.outcome.widget])
        card.add_class("em-card")
        card.add_class("em-outcome")
        return card

    def _history_of_runs(self) -> Any:
        both = W.VBox([self._pair, self._runs])
        both.add_class("em-right")
        return both

    def _origin(self, origin: str) -> None:
        """Take the scheme and host that the visitor sees, for the code to paste."""
        if origin.startswith(("http://", "https://")) and len(origin) < 300:
            self.form.url = origin + self._base.removesuffix("easymlnb/")
            self.form.code.show(snippets(self.spec, self.form.values(), self.form.url))

    def _ended(self, ended: Ended) -> None:
        run = self._history.add(ended)
        if run.parts is not None:
            self._shown = run.number
        self._runs.value = self._history.html(self._shown)
        self.form.desk.tell("history", value=self._history.text())

    def _remember(self, kept: str) -> None:
        """Take back the runs that the browser kept over a reload."""
        self._history.restore(kept)
        self._runs.value = self._history.html(self._shown)

    def _fill(self, values: dict[str, Any] | None) -> None:
        if values is None or self.form.busy:
            return
        missing = permalinks.missing(values)
        self.form.fill(values)
        for name, words in missing.items():
            if name in self.form.fields.fields:
                self.form.fields.fields[name].show((), words)

    def _show(self, number: str) -> None:
        run = self._history.get(number)
        if run is None or run.parts is None or self.form.busy:
            return
        self._fill(dict(run.values))
        with self.form.sheet.active():
            self.form.outcome.begin()
            self.form.outcome.done(Succeeded(run.parts, run.seconds, run.request_id))
        self._shown = run.number
        self._uncompare()
        self.form.desk.tell("go", to=".em-outcome")

    def _again(self, number: str) -> None:
        run = self._history.get(number)
        if run is None or self.form.busy:
            return
        values = dict(run.values)
        gone = permalinks.missing(dict(values))
        self._fill(values)
        if gone:
            # Not run without the file or secret that it was run with.
            self.form.lead_to_marked()
        else:
            self.form.run()

    def _compare(self, number: str) -> None:
        one, other = self._history.get(str(self._shown)), self._history.get(number)
        if one is not None and other is not None:
            self._uncompare()
            with self.form.sheet.active():
                self._pair.children = (side_by_side(self.spec, one, other),)
            keep_message_order(self._pair)
            self.form.desk.tell("go", to=".em-compare-card")

    def _uncompare(self) -> None:
        old, self._pair.children = self._pair.children, ()
        for widget in old:
            W.close(widget)
        self._runs.value = self._history.html(self._shown)

    def _download(self, _: str) -> None:
        run = self._history.get(str(self._shown))
        if run is None or run.parts is None:
            self.form.desk.tell("words", value="No result to save")
            return
        plain = self.spec.name.rpartition("/")[2]
        name = f"{plain}-{run.at:%Y%m%d-%H%M%S}.json"
        self.form.desk.save(name, "application/json", _report(self.spec, run))

    def _link(self, _: str) -> None:
        values = self.form.values()
        code = permalinks.fold(self.spec, values)
        if code is None:
            self.form.desk.tell("words", value="Input too long for a link")
            return
        whole = not permalinks.missing(json.loads(permalinks.noted(self.spec, values)))
        words = "Link copied" if whole else "Link copied, without files and secrets"
        self.form.desk.tell("link", value=code, words=words)

    def _draft(self, _: str) -> None:
        self.form.desk.tell("draft", value=permalinks.draft(self.spec, self.form.values()))

    def close(self) -> None:
        """Stop what runs and free all widgets."""
        self.form.close()


def _report(spec: ServiceSpec, run: Run) -> bytes:
    plain = {name: value for name, value in run.values.items() if name != permalinks.NOTE}
    told = {
        "service": spec.name,
        "time": run.at.isoformat(timespec="seconds"),
        "seconds": run.seconds,
        "request_id": run.request_id,
        "input": json.loads(permalinks.text(spec, plain)),
        "result": run.parts,
    }
    # Python takes its time for lines of their own.
    indent = 1 if run.size < READABLE else None
    return json.dumps(told, ensure_ascii=False, indent=indent).encode()


_HEAD = (
    '<div class="em-result-head"><h2 class="em-part-title">Result</h2><span class="em-push">'
    '<button type="button" class="em-link" data-em-do="link">Copy link</button> '
    '<button type="button" class="em-link" data-em-do="download">Download as JSON</button>'
    "</span></div>"
)


def _api(spec: ServiceSpec, base: str, public: bool) -> str:
    head = '<h2 class="em-part-title">Call this service from code</h2>'
    if public:
        # The service page asks for a login, which visitors of a public page do not have.
        return f"{head}<p>Calls from code require a token. Ask the service's author for access.</p>"
    service = escape(f"{base}services/{url_path(spec.name)}", quote=True)
    return (
        f"{head}<p>This code uses the values on this page. See also the service's "
        f'<a href="{service}/page">page</a> and '
        f'<a href="{service}/openapi.json">OpenAPI description</a>.</p>'
    )


def _about(spec: ServiceSpec) -> str:
    facts = [("Author", spec.author), ("License", spec.license), ("Tags", ", ".join(spec.tags))]
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{escape(value)}</td></tr>'
        for name, value in facts
        if value
    )
    text = markdown(spec.description) if spec.description else "<p>No description yet.</p>"
    table = f'<table class="em-facts">{rows}</table>' if rows else ""
    return f'<div class="em-prose">{text}</div>{table}'
