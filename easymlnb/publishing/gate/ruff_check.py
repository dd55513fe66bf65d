"""Ruff: defects in the cells and modules."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from easymlnb.contract.notebook import text_of
from easymlnb.contract.quality import Finding, Severity
from easymlnb.publishing.gate import tools
from easymlnb.publishing.gate.sources import SourceFile, is_python

RULES = "E9,F,B,PLE,PLW0127,PLW0128,ASYNC"
"""Defects, not style."""

ERRORS = ("E9", "F7", "F82", "PLE", "invalid-syntax")
"""Rules for code that fails when it runs."""

NOTEBOOK = "notebook.ipynb"


def run(
    folder: Path,
    cells: Sequence[Mapping[str, Any]],
    modules: Iterable[SourceFile],
    *,
    comments: bool,
) -> list[Finding]:
    """Return the findings of ruff; the modules are already in the folder."""
    (folder / NOTEBOOK).write_text(json.dumps(_notebook(cells)), encoding="utf-8")
    known = {source.name: source for source in modules}
    options = [
        *("check", "--isolated", "--no-cache", "--exit-zero", "--output-format", "json"),
        *("--target-version", "py311", "--select", RULES),
        *(() if comments else ("--ignore-noqa",)),
    ]
    found = tools.run_module("ruff", [*options, NOTEBOOK, *known], folder)
    return [_finding(one, known) for one in tools.whole(found)]


def _notebook(cells: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a notebook with the same cells, in which those that cannot run are texts."""
    made = []
    for index, cell in enumerate(cells):
        one: dict[str, Any] = {"cell_type": "markdown", "metadata": {}, "id": f"c{index}"}
        source = ""
        if is_python(cell):  # after a syntax error, ruff would find nothing else
            one |= {"cell_type": "code", "outputs": [], "execution_count": None}
            source = text_of(cell["source"])
        made.append(one | {"source": source.splitlines(keepends=True)})
    kernel = {"language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": made}


def _finding(one: Mapping[str, Any], modules: Mapping[str, SourceFile]) -> Finding:
    code = str(one.get("code") or "invalid-syntax")
    row = int((one.get("location") or {}).get("row") or 1)
    source = modules.get(Path(str(one.get("filename"))).name)
    if source is None:
        place: Mapping[str, Any] = {"cell": int(one.get("cell") or 1) - 1, "line": row}
    else:
        place = source.place(row)
    severity: Severity = "error" if code.startswith(ERRORS) else "warning"
    return Finding(
        check="ruff",
        code=code,
        severity=severity,
        message=tools.text(one.get("message")),
        url=str(one.get("url") or ""),
        **place,
    )
