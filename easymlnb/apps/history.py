"""The runs of a browser tab, with inputs and results to open and to compare."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from easymlnb.apps import permalinks, summaries
from easymlnb.apps.summaries import cut
from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InvalidInput
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.call_protocol import Part, Succeeded
from easymlnb.forms.finished_call import FinishedCall
from easymlnb.forms.markup import Markup, button, element, join
from easymlnb.forms.result_panel import joined

MAX_RUNS = 20

MAX_SIZE = 4 * 2**20
"""Characters of JSON for all inputs and results; above it the oldest results are dropped."""

MAX_STORED = 300_000
"""Characters of JSON that the browser stores of all runs over a reload."""

SHOWN_VALUES = 3
"""Values of the input, and of the result, that a run shows."""

SHOWN_CHARACTERS = 200
"""Characters of an error message that a run shows."""

SEPARATOR = " \u00b7 "

STATES = {
    "done": ("Succeeded", "good"),
    "stopped": ("Stopped", "still"),
    "refused": ("Invalid input", "bad"),
    "failed": ("Failed", "bad"),
}
"""State of a run -> its label and the color of its dot."""


class Run(msgspec.Struct, kw_only=True):
    """One call. ``parts`` is ``None`` without a result, or if the result was dropped."""

    number: int = 0
    at: datetime
    values: dict[str, Any]
    seconds: Annotated[float, msgspec.Meta(ge=0, lt=1e9)] = 0.0
    parts: list[Part] | None = None
    request_id: str = ""
    state: Literal["done", "stopped", "refused", "failed"] = "done"
    failure: str = ""
    items: int = 0
    size: int = 0
    summary: list[tuple[str, str]] = []


class History:
    """The runs of one tab, newest first, limited in number and size."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._spec = spec
        self._count = 0
        self.runs: list[Run] = []
        # What was written of each run, by its number: all runs are shown again after each call.
        self._facts: dict[int, Markup] = {}
        self._stored: dict[tuple[int, bool], str] = {}

    def add(self, call: FinishedCall) -> Run:
        """Add a call that has just finished."""
        self._count += 1
        event = call.event
        run = Run(
            number=self._count,
            at=datetime.now(UTC),
            values=call.values,
            seconds=call.seconds,
            items=call.count,
        )
        if isinstance(event, Succeeded):
            run.seconds, run.request_id = event.seconds or call.seconds, event.request_id
            run.parts = event.parts or joined(call.items)
        else:
            run.state, run.request_id = state(event.error), event.error.request_id or ""
            run.failure = "" if run.state == "stopped" else event.error.message
            # The items of a stream are useful even if the call failed later.
            run.parts = joined(call.items) or None
        run.summary = summaries.results(run.parts or [], SHOWN_VALUES)
        run.size = _size([run.values, run.parts])
        self.runs.insert(0, run)
        self._trim()
        return run

    def _trim(self) -> None:
        for run in self.runs[MAX_RUNS:]:
            self._forget(run)
        del self.runs[MAX_RUNS:]
        space = MAX_SIZE
        for run in self.runs:
            space -= run.size
            if space < 0 and run.size > MAX_SIZE // 100:
                # Typed values are small and stay; files and results are dropped.
                self._forget(run)
                run.parts = None
                run.values = {
                    name: value
                    for name, value in run.values.items()
                    if _size(value) < MAX_SIZE // 1000
                }
                run.size = 0

    def _forget(self, run: Run) -> None:
        self._facts.pop(run.number, None)
        for complete in (False, True):
            self._stored.pop((run.number, complete), None)

    def get(self, number: str) -> Run | None:
        """Return a run by its number as a page sends it."""
        return next((run for run in self.runs if str(run.number) == number), None)

    def to_json(self) -> str:
        """Return what a browser stores: no secrets, no files, and results that fit."""
        space = MAX_STORED
        stored: list[str] = []
        for run in self.runs:
            written = self._record(run, complete=run.size <= space // 2)
            space -= len(written)
            if space < 0:
                break
            stored.append(written)
        return f"[{','.join(stored)}]"

    def _record(self, run: Run, *, complete: bool) -> str:
        """Return a run as JSON, without its result unless ``complete``."""
        key = (run.number, complete)
        if key not in self._stored:
            values = json.loads(permalinks.noted(self._spec, run.values, uploads=True))
            parts = run.parts if complete else None
            record = msgspec.structs.replace(run, values=values, parts=parts)
            self._stored[key] = json.dumps(msgspec.structs.asdict(record), default=str)
        return self._stored[key]

    def restore(self, raw: str) -> None:
        """Add the runs that a browser stored; invalid ones are left out."""
        if self.runs:
            return
        try:
            records = msgspec.convert(json.loads(raw), list[Any])
        except (ValueError, msgspec.ValidationError, RecursionError):
            return
        self.runs = [run for run in map(_read, records[:MAX_RUNS]) if run is not None]
        self._count = len(self.runs)
        for at, run in enumerate(self.runs):
            run.number = self._count - at
        self._trim()

    def html(self, shown: int = 0) -> Markup:
        """Return the runs as a list; ``shown`` is the run whose result is on the page."""
        if not self.runs:
            return Markup()
        runs = [self._card(run, shown) for run in self.runs]
        return join((element("h2.em-part-title", "History"), element("ol.em-history", *runs)))

    def _card(self, run: Run, shown: int) -> Markup:
        if run.number not in self._facts:
            self._facts[run.number] = self._describe(run)
        return element(
            "li.em-shown" if run.number == shown else "li",
            self._facts[run.number],
            self._buttons(run, shown),
            aria_current="true" if run.number == shown else None,
        )

    def _describe(self, run: Run) -> Markup:
        """Return what does not change of a run."""
        label, color = STATES[run.state]
        result = join(filter(None, (_items(run), pairs(run.summary))), SEPARATOR)
        if run.failure:
            lines = filter(None, (cut(run.failure, SHOWN_CHARACTERS), result))
            result = join(lines, element("br"))
        rows = (("Input", pairs(summaries.inputs(self._spec, run.values))), ("Result", result))
        facts = [join((element("dt", name), element("dd", text))) for name, text in rows if text]
        head = element(
            "div.em-run-head",
            element(f"span.em-run-state.em-run-{color}", label),
            clock(run.at),
            element("span", duration(run)),
        )
        return join((head, element("dl.em-run-facts", *facts)))

    def _buttons(self, run: Run, shown: int) -> Markup:
        opens = run.parts is not None and run.number != shown
        compares = opens and any(
            other.number == shown and other.parts is not None for other in self.runs
        )
        return _actions(run.number, opens, compares)


@lru_cache(maxsize=1000)
def _actions(number: int, opens: bool, compares: bool) -> Markup:
    """Return the buttons of a run; each page has the same ones."""
    first = [button("Open", "show", number)] if opens else []
    last = [button("Compare", "compare", number)] if compares else []
    return element("div.em-run-actions", *first, button("Run again", "again", number), *last)


def state(error: EasyMLNBError) -> Literal["stopped", "refused", "failed"]:
    """Return the state of a run that failed."""
    if isinstance(error, CallCancelled):
        return "stopped"
    return "refused" if isinstance(error, InvalidInput) else "failed"


def duration(run: Run) -> str:
    """Return how long a run took."""
    seconds = run.seconds
    if seconds < 0.01:
        text = "less than 0.01 s"
    elif seconds < 100:
        text = f"{seconds:.2f} s"
    else:
        text = f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"after {text}" if run.state in ("stopped", "failed") else f"took {text}"


def clock(at: datetime) -> Markup:
    """Return a time of day; the form's script converts it to the visitor's time zone."""
    moment = at.isoformat(timespec="seconds")
    return element("time", f"{at:%H:%M:%S} UTC", datetime=moment, title=moment)


def _items(run: Run) -> str:
    if not run.items:
        return ""
    text = f"{run.items} item{'s' if run.items > 1 else ''} streamed"
    return text if run.state == "done" else f"{text} before it stopped"


def pairs(values: list[tuple[str, str]]) -> Markup:
    """Return a few names and values as HTML."""
    return join(
        (
            join((element("span.em-muted", name), value), " ") if name else value
            for name, value in values[:SHOWN_VALUES]
        ),
        SEPARATOR,
    )


def _size(value: Any) -> int:
    """Return the number of characters of a JSON value."""
    return len(json.dumps(value, default=str))


def _read(record: Any) -> Run | None:
    """Return a run that a browser stored; ``None`` if the record is invalid."""
    try:
        run = msgspec.convert(record, Run)
    except (msgspec.ValidationError, RecursionError):
        return None
    if run.parts is not None:
        run.parts = list(filter(_is_rendered, run.parts))
    run.size = _size([run.values, run.parts])
    return run


def _is_rendered(part: Part) -> bool:
    """Whether a part needs no rendering of Markdown, which the worker does."""
    return part.get("kind") != "markdown" or isinstance((part.get("more") or {}).get("html"), str)
