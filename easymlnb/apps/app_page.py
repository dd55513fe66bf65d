"""The content of an app page: the form, the results, and the actions on them."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from easymlnb.apps import permalinks
from easymlnb.apps.compare import comparison
from easymlnb.apps.history import History, Run
from easymlnb.contract.names import url_path
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Caller, Succeeded
from easymlnb.forms.examples import gallery
from easymlnb.forms.finished_call import FinishedCall
from easymlnb.forms.form import Form
from easymlnb.forms.header import assistant_link
from easymlnb.forms.layout_builder import LayoutBuilder
from easymlnb.forms.markup import Markup, button, element, join
from easymlnb.forms.result_panel import Tabs
from easymlnb.forms.sanitize import markdown
from easymlnb.forms.shared_style import FormContext, UploadSettings

READABLE = 100_000
"""Characters of JSON up to which a saved run has one line for each value."""

__all__ = ["AppPage", "UploadSettings"]


class AppPage:
    """The widgets of one visitor's page. Place ``widget``; ``close`` frees all of them.

    Parameters
    ----------
    spec : ServiceSpec
    caller : Caller
        Runs the calls.
    base : str
        Path of easymlnb's routes as the visitor's browser sees it.
    values : dict, optional
        Initial input.
    uploads : UploadSettings, optional
        How the browser sends files; without it they go through the kernel's connection.
    public : bool, default False
        Whether visitors have no login.
    batch : callable, optional
        Returns a context in which changes of widgets may be sent together at the end.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        caller: Caller,
        *,
        base: str,
        values: dict[str, Any] | None = None,
        uploads: UploadSettings | None = None,
        public: bool = False,
        batch: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.spec = spec
        self._base = base.rstrip("/") + "/"
        self._public = public
        self._history = History(spec)
        self._shown = 0
        self._filled = False
        if uploads is not None:
            uploads = replace(uploads, service=spec.name)
        self.form = Form(
            spec,
            caller,
            context=FormContext(uploads, page_has_scripts=True, batch=batch),
            app_page=True,
            # Visitors of a public page have no token, so the code would not work for them.
            shows_code=not public,
        )
        self._connect()
        with self.form.context.active():
            self.widget = self._build()
        W.keep_message_order(self.widget)
        if values:
            self.form.fill(values)

    def _connect(self) -> None:
        """Receive what happens in the form, and what the scripts of the page ask for."""
        form = self.form
        form.on_finished = self._on_finished
        form.on_jobs_changed = self._store_jobs
        form.on_started = self._store_call
        if form.jobs is not None and not self._public:  # the pages of jobs need a login
            form.jobs.base = self._base
        form.actions |= {
            "again": self._run_again,
            "compare": self._compare,
            "download": self._download,
            "draft": self._send_draft,
            "link": self._send_link,
            "history": self._restore_history,
            "jobs": self._restore_jobs,
            "open": lambda code: self._fill(permalinks.decode(code)),
            "origin": self._set_origin,
            "resume": self._resume,
            "restore": lambda raw: self._fill(permalinks.read(raw)),
            "show": self._show_run,
            "uncompare": lambda _: self._close_comparison(),
        }

    def _build(self) -> Any:
        form = self.form
        self._runs = W.HTML()
        self._runs.add_class("em-card")
        self._runs.add_class("em-visit")
        self._comparison = W.VBox()
        self._code = W.HTML() if self._public else form.code_panel.widget
        page = self._default_page() if self.spec.app is None else self._custom_page(self.spec.app)
        api = W.HTML(_api(self.spec, self._base, self._public))
        pages = {
            "App": page,
            "API": W.box(api, self._code, classes="em-card"),
            "About": W.box(W.HTML(_about(self.spec)), classes="em-card"),
        }
        form.widget.children = (Tabs(pages).widget, form.script)
        form.widget.add_class("em-app")
        return form.widget

    def _default_page(self) -> Any:
        """Input on the left, results and history on the right."""
        right = W.box(self._result(), self._runs_and_comparison(), classes="em-right")
        return W.box(self.form.inputs(), right, kind=W.Box, classes="em-two")

    def _custom_page(self, tree: dict[str, Any]) -> Any:
        """The author's layout; the result is added if it is not part of it."""
        form = self.form
        parts = {
            "form": self._default_page,
            "inputs": form.inputs,
            "run": lambda: form.run_bar.widget,
            "result": self._result,
            "examples": lambda: W.HTML(gallery(self.spec)),
            "history": self._runs_and_comparison,
            "code": lambda: self._code,
        }
        builder = LayoutBuilder(form.fields.fields, parts)
        page = builder.build(tree)
        result = [] if "result" in builder.placed else [self._result()]
        return W.box(page, *result, classes="em-right")

    def _result(self) -> Any:
        head = _card_head(
            "Result", button("Copy link", "link"), button("Download as JSON", "download")
        )
        jobs = () if self.form.jobs is None else (self.form.jobs.widget,)
        panel = self.form.result_panel.widget
        return W.box(*jobs, W.HTML(head), panel, classes="em-card em-outcome")

    def _runs_and_comparison(self) -> Any:
        return W.box(self._comparison, self._runs, classes="em-right")

    def _set_origin(self, origin: str) -> None:
        """Use the scheme and host that the visitor sees in the code to copy."""
        if origin.startswith(("http://", "https://")) and len(origin) < 300:
            self.form.url = origin + self._base.removesuffix("easymlnb/")
            self.form.code_panel.link = assistant_link(self.spec.name, self.form.url)
            self.form.show_code()

    def _store_call(self, id: str, values: dict[str, Any]) -> None:
        """Have the browser store the running call over a reload."""
        stored = permalinks.stored_call(self.spec, id, values)
        self.form.script.perform("running", value=stored)

    def _resume(self, stored: str) -> None:
        """Wait for the call that ran when the page was loaded again."""
        call = permalinks.read_call(stored)
        if call is None:
            return
        if not self._filled:  # else the draft is there, which may be newer
            self._fill(dict(call[1]))
        self.form.resume(*call)

    def _on_finished(self, call: FinishedCall) -> None:
        self.form.script.perform("running", value="")
        run = self._history.add(call)
        if run.parts is not None:
            self._shown = run.number
        self._show_history()
        self.form.script.perform("history", value=self._history.to_json())

    def _show_history(self) -> None:
        self._runs.value = self._history.html(self._shown)

    def _restore_history(self, stored: str) -> None:
        """Restore the runs that the browser stored over a reload."""
        self._history.restore(stored)
        self._show_history()

    def _store_jobs(self) -> None:
        """Have the browser store the jobs of this page over a reload."""
        assert self.form.jobs is not None
        stored = permalinks.stored_jobs(
            self.spec, [(card.status.id, card.values) for card in self.form.jobs.cards]
        )
        self.form.script.perform("jobs", value=stored)

    def _restore_jobs(self, stored: str) -> None:
        """Follow the jobs that the browser stored over a reload."""
        if self.form.jobs is not None:
            for id, values in permalinks.read_jobs(stored):
                self.form.jobs.restore(id, values)

    def _fill(self, values: dict[str, Any] | None) -> None:
        if values is None or self.form.busy:
            return
        self._filled = True
        missing = permalinks.missing(values)
        self.form.fill(values)
        for name, message in missing.items():
            if name in self.form.fields.fields:
                self.form.fields.fields[name].show_error((), message)

    def _show_run(self, number: str) -> None:
        run = self._history.get(number)
        if run is None or run.parts is None or self.form.busy:
            return
        self._fill(dict(run.values))
        with self.form.context.active():
            self.form.result_panel.begin()
            self.form.result_panel.succeed(Succeeded(run.parts, run.seconds, run.request_id))
        self._shown = run.number
        self._close_comparison()
        self.form.script.perform("scroll", to=".em-outcome")

    def _run_again(self, number: str) -> None:
        run = self._history.get(number)
        if run is None or self.form.busy:
            return
        values = dict(run.values)
        missing = permalinks.missing(dict(values))
        self._fill(values)
        if missing:
            # The run had a file or secret that must be entered again.
            self.form.show_invalid()
        else:
            self.form.run()

    def _compare(self, number: str) -> None:
        shown, other = self._history.get(str(self._shown)), self._history.get(number)
        if shown is not None and other is not None:
            self._close_comparison()
            with self.form.context.active():
                self._comparison.children = (comparison(self.spec, shown, other),)
            W.keep_message_order(self._comparison)
            self.form.script.perform("scroll", to=".em-compare-card")

    def _close_comparison(self) -> None:
        old, self._comparison.children = self._comparison.children, ()
        for widget in old:
            W.close(widget)
        self._show_history()

    def _download(self, _: str) -> None:
        run = self._history.get(str(self._shown))
        if run is None or run.parts is None:
            self.form.script.perform("message", value="No result to save")
            return
        short_name = self.spec.name.rpartition("/")[2]
        name = f"{short_name}-{run.at:%Y%m%d-%H%M%S}.json"
        self.form.script.save(name, "application/json", _report(self.spec, run))

    def _send_link(self, _: str) -> None:
        values = self.form.values()
        code = permalinks.encode(self.spec, values)
        if code is None:
            self.form.script.perform("message", value="Input too long for a link")
            return
        complete = not permalinks.missing(json.loads(permalinks.noted(self.spec, values)))
        message = "Link copied" if complete else "Link copied, without files and secrets"
        self.form.script.perform("link", value=code, message=message)

    def _send_draft(self, _: str) -> None:
        draft = permalinks.draft(self.spec, self.form.values())
        self.form.script.perform("draft", value=draft)

    def close(self) -> None:
        """Free all widgets. A running call continues for a while, for the next page."""
        self.form.close()


def _card_head(title: str, *buttons: Markup) -> Markup:
    """Return the head of a card with buttons on the right."""
    heading = element("h2.em-part-title", title)
    return element("div.em-result-head", heading, element("span.em-push", join(buttons, " ")))


def _report(spec: ServiceSpec, run: Run) -> bytes:
    values = {name: value for name, value in run.values.items() if name != permalinks.NOTE}
    report = {
        "service": spec.name,
        "time": run.at.isoformat(timespec="seconds"),
        "seconds": run.seconds,
        "request_id": run.request_id,
        "input": json.loads(permalinks.without_files(spec, values)),
        "result": run.parts,
    }
    # Indenting is slow in Python.
    indent = 1 if run.size < READABLE else None
    return json.dumps(report, ensure_ascii=False, indent=indent).encode()


def _api(spec: ServiceSpec, base: str, public: bool) -> Markup:
    head = element("h2.em-part-title", "Call this service from code")
    if public:
        # The service page asks for a login.
        text = element("p", "Calls from code require a token. Ask the service's author for access.")
        return join((head, text))
    service = f"{base}services/{url_path(spec.name)}"
    page = element("a", "page", href=f"{service}/page")
    openapi = element("a", "OpenAPI description", href=f"{service}/openapi.json")
    text = element(
        "p", "This code uses the values on this page. See also the service's ", page, " and ",
        openapi, ".",
    )  # fmt: skip
    return join((head, text))


def _about(spec: ServiceSpec) -> Markup:
    facts = [("Author", spec.author), ("License", spec.license), ("Tags", ", ".join(spec.tags))]
    rows = [
        element("tr", element("th", name, scope="row"), element("td", value))
        for name, value in facts
        if value
    ]
    text = markdown(spec.description or "No description yet.")
    table = element("table.em-facts", *rows) if rows else ""
    return join((element("div.em-prose", text), table))
