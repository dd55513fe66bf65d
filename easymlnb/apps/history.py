"""The runs of this visit: what was put in, what came out, to go back to and to compare."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.caller import Done, Failed, Part
from easymlnb.forms.node import Node
from easymlnb.forms.results import figure

MOST = 20
"""Runs that are remembered."""

ROOM = 4 * 2**20
"""Characters of JSON for the inputs and results of a visit; then the oldest results go."""

WORDS = 3
"""Values of the input, and of the result, that a line of the history shows."""

CUT = 28
"""Characters of a value in a line."""

WORDS_FOR = {True: "yes", False: "no", None: "none"}


@dataclass(slots=True)
class Run:
    """One call. ``parts`` is None when its result was not kept, or when it failed."""

    number: int
    at: datetime
    values: dict[str, Any]
    seconds: float = 0.0
    parts: list[Part] | None = None
    request_id: str = ""
    failure: str = ""
    size: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)


class History:
    """The runs of one visit, newest first; bounded in number and size."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._spec = spec
        self._count = 0
        self.runs: list[Run] = []

    def add(self, values: dict[str, Any], event: Done | Failed) -> Run:
        """Remember a call that ended now."""
        self._count += 1
        run = Run(self._count, datetime.now(UTC), values)
        if isinstance(event, Done):
            run.seconds, run.request_id = event.seconds, event.request_id
            run.parts = event.parts
            run.found = found(event.parts)
        else:
            run.failure = event.error.message
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

    def html(self, shown: int = 0) -> str:
        """Return the runs as a table; ``shown`` is the one whose result is on the page."""
        if not self.runs:
            return ""
        rows = "".join(self._row(run, shown) for run in self.runs)
        return (
            '<h2 class="em-part-title">This visit</h2>'
            '<div class="em-table" tabindex="0"><table class="em-history"><thead><tr>'
            '<th scope="col">Time</th><th scope="col">Input</th><th scope="col">Result</th>'
            '<th scope="col" class="em-num">Took</th><th scope="col">Actions</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _row(self, run: Run, shown: int) -> str:
        said = escape(run.failure[:80]) if run.failure else pairs(run.found) or "done"
        kind = ' class="em-shown"' if run.number == shown else ""
        acts = [("again", "Run again")]
        if run.parts is not None and run.number != shown:
            acts = [("show", "Open"), *acts]
            if any(one.number == shown and one.parts is not None for one in self.runs):
                acts.append(("compare", "Compare"))
        buttons = " ".join(
            f'<button type="button" class="em-link" data-em-do="{act}" '
            f'data-em-value="{run.number}">{words}</button>'
            for act, words in acts
        )
        moment = run.at.isoformat(timespec="seconds")
        return (
            f'<tr{kind}><td><time datetime="{moment}" title="{moment}">{run.at:%H:%M:%S}</time>'
            f"</td><td>{pairs(inputs(self._spec, run.values))}</td><td>{said}</td>"
            f'<td class="em-num">{run.seconds:.2f} s</td><td>{buttons}</td></tr>'
        )


def pairs(values: list[tuple[str, str]]) -> str:
    """Return a few names and values as HTML."""
    return " \u00b7 ".join(
        f'<span class="em-muted">{escape(name)}</span> {escape(value)}' if name else escape(value)
        for name, value in values[:WORDS]
    )


def inputs(spec: ServiceSpec, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a person filled in, as labels and short words; files by their names."""
    root = Node.root(spec.input)
    properties = root.get("properties") or {}
    told = []
    for name, value in values.items():
        node = root.child(properties.get(name), name)
        secret = "secret" in (node.kind, *(one.kind for one in node.alternatives))
        told.append((node.title, "\u2022\u2022\u2022" if secret else short(value)))
    return told


def short(value: Any) -> str:
    """Return a JSON value in a few characters."""
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        text = str(value["name"])
    elif isinstance(value, str):
        text = "a file" if value.startswith("data:") else value
    elif isinstance(value, bool) or value is None:
        text = WORDS_FOR[value]
    elif isinstance(value, int | float):
        text = figure(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= CUT else text[: CUT - 1] + "\u2026"


def found(parts: list[Part]) -> list[tuple[str, str]]:
    """Return a result in a few words: its numbers and short texts."""
    return [
        (str(part.get("title") or "").replace("_", " "), short(part.get("data")))
        for part in parts
        if part.get("kind") in ("number", "text")
    ][:WORDS]
