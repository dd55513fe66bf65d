"""The runs of a browser tab: inputs and results to go back to and to compare."""

import json
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from html import escape
from typing import Any

from easymlnb.apps import permalinks, words
from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InvalidInput
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.call_protocol import Part, Succeeded
from easymlnb.forms.form import Ended
from easymlnb.forms.result_panel import joined

MOST = 20
"""Runs that are remembered."""

ROOM = 4 * 2**20
"""Characters of JSON for the inputs and results of a tab; then the oldest results go."""

KEPT = 300_000
"""Characters of JSON that the browser keeps of all runs over a reload."""

WORDS = 3
"""Values of the input, and of the result, that a run shows."""

CUT = 200
"""Characters of an error's message that a run shows."""

STATES = {
    "done": ("Succeeded", "good"),
    "stopped": ("Stopped", "still"),
    "refused": ("Invalid input", "bad"),
    "failed": ("Failed", "bad"),
}
"""State of a run -> its word and the look of its dot."""


@dataclass(slots=True)
class Run:
    """One call. ``parts`` is None when its result was not kept, or when there was none."""

    number: int
    at: datetime
    values: dict[str, Any]
    seconds: float = 0.0
    parts: list[Part] | None = None
    request_id: str = ""
    state: str = "done"
    failure: str = ""
    items: int = 0
    size: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)


class History:
    """The runs of one tab, newest first; bounded in number and size."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._spec = spec
        self._count = 0
        self.runs: list[Run] = []

    def add(self, ended: Ended) -> Run:
        """Remember a call that ended now."""
        self._count += 1
        event = ended.event
        run = Run(self._count, datetime.now(UTC), ended.values, ended.seconds, items=ended.count)
        if isinstance(event, Succeeded):
            run.seconds, run.request_id = event.seconds or ended.seconds, event.request_id
            run.parts = event.parts or joined(ended.items)
        else:
            run.state, run.request_id = state(event.error), event.error.request_id or ""
            run.failure = "" if run.state == "stopped" else event.error.message
            # What a stream gave before its end is worth as much as before.
            run.parts = joined(ended.items) or None
        run.found = words.found(run.parts or [], WORDS)
        run.size = len(json.dumps([run.values, run.parts or []], default=str))
        self.runs.insert(0, run)
        self._trim()
        return run

    def _trim(self) -> None:
        del self.runs[MOST:]
        room = ROOM
        for run in self.runs:
            room -= run.size
            if room < 0 and run.size > ROOM // 100:
                # What was typed is small and stays; files and results are forgotten.
                run.parts = None
                run.values = {
                    name: value
                    for name, value in run.values.items()
                    if len(json.dumps(value, default=str)) < ROOM // 1000
                }
                run.size = 0

    def get(self, number: str) -> Run | None:
        """Return a run by its number as a page sends it."""
        return next((run for run in self.runs if str(run.number) == number), None)

    def text(self) -> str:
        """Return what a browser keeps: no secrets, no files, and results while there is room."""
        room = KEPT
        kept: list[str] = []
        for run in self.runs:
            told = {one.name: getattr(run, one.name) for one in fields(run)}
            told |= {"at": run.at.isoformat(), "size": 0}
            told["values"] = json.loads(permalinks.noted(self._spec, run.values, uploads=True))
            if run.size > room // 2:
                told["parts"] = None
            written = json.dumps(told, default=str)
            if len(written) > room:
                break
            room -= len(written)
            kept.append(written)
        return f"[{','.join(kept)}]"

    def restore(self, raw: str) -> None:
        """Take back what a browser kept of earlier runs; what makes no sense is left out."""
        if self.runs:
            return
        try:
            told = json.loads(raw)
        except (ValueError, RecursionError):
            return
        found = told[:MOST] if isinstance(told, list) else []
        self.runs = [run for run in map(read, found) if run is not None]
        self._count = len(self.runs)
        for at, run in enumerate(self.runs):
            run.number = self._count - at
        self._trim()

    def html(self, shown: int = 0) -> str:
        """Return the runs as a list; ``shown`` is the one whose result is on the page."""
        if not self.runs:
            return ""
        runs = "".join(self._card(run, shown) for run in self.runs)
        return f'<h2 class="em-part-title">History</h2><ol class="em-history">{runs}</ol>'

    def _card(self, run: Run, shown: int) -> str:
        here = ' class="em-shown" aria-current="true"' if run.number == shown else ""
        word, look = STATES[run.state]
        result = " \u00b7 ".join(filter(None, (_items(run), pairs(run.found))))
        if run.failure:
            result = escape(cut(run.failure)) + (f"<br>{result}" if result else "")
        rows = (("Input", pairs(words.inputs(self._spec, run.values))), ("Result", result))
        facts = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows if text)
        return (
            f'<li{here}><div class="em-run-head"><span class="em-run-state em-run-{look}">{word}'
            f"</span>{clock(run.at)}<span>{took(run)}</span></div>"
            f'<dl class="em-run-facts">{facts}</dl>{self._acts(run, shown)}</li>'
        )

    def _acts(self, run: Run, shown: int) -> str:
        acts = [("again", "Run again")]
        if run.parts is not None and run.number != shown:
            acts = [("show", "Open"), *acts]
            if any(one.number == shown and one.parts is not None for one in self.runs):
                acts.append(("compare", "Compare"))
        buttons = "".join(
            f'<button type="button" class="em-link" data-em-do="{act}" '
            f'data-em-value="{run.number}">{said}</button>'
            for act, said in acts
        )
        return f'<div class="em-run-acts">{buttons}</div>'


def state(error: EasyMLNBError) -> str:
    """Return how a call that gave no result ended, as a key of ``STATES``."""
    if isinstance(error, CallCancelled):
        return "stopped"
    return "refused" if isinstance(error, InvalidInput) else "failed"


def took(run: Run) -> str:
    """Return how long a run took, in words that fit how it ended."""
    seconds = run.seconds
    said = "less than 0.01 s" if seconds < 0.01 else f"{seconds:.2f} s" if seconds < 100 else ""
    said = said or f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"after {said}" if run.state in ("stopped", "failed") else f"took {said}"


def clock(at: datetime) -> str:
    """Return a time of day; the page's script puts it into the person's own zone."""
    moment = at.isoformat(timespec="seconds")
    return f'<time datetime="{moment}" title="{moment}">{at:%H:%M:%S} UTC</time>'


def cut(text: str) -> str:
    """Return the beginning of a message."""
    return text if len(text) <= CUT else text[: CUT - 1] + "\u2026"


def _items(run: Run) -> str:
    if not run.items:
        return ""
    said = f"{run.items} item{'s' if run.items > 1 else ''}"
    return f"{said} streamed" if run.state == "done" else f"{said} streamed before it stopped"


def pairs(values: list[tuple[str, str]]) -> str:
    """Return a few names and values as HTML."""
    return " \u00b7 ".join(
        f'<span class="em-muted">{escape(name)}</span> {escape(value)}' if name else escape(value)
        for name, value in values[:WORDS]
    )


def read(told: Any) -> Run | None:
    """Return a run that a browser kept; None where that is not what it once was told."""
    try:
        run = Run(
            0,
            datetime.fromisoformat(told["at"]),
            dict(told["values"]),
            float(told["seconds"]),
            _parts(told["parts"]),
            str(told["request_id"]),
            told["state"],
            str(told["failure"]),
            int(told["items"]),
            found=[(str(name), str(value)) for name, value in told["found"][:WORDS]],
        )
        run.size = len(json.dumps([run.values, run.parts]))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
        return None
    return run if run.state in STATES and 0 <= run.seconds < 1e9 else None


def _parts(told: Any) -> list[Part] | None:
    """Return the parts of a result, less Markdown that would have to be rendered here."""
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        return None
    return [
        part
        for part in told
        if part.get("kind") != "markdown" or isinstance((part.get("more") or {}).get("html"), str)
    ]
