"""Find the notebook cell and the line that a traceback points to."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

_FRAME = re.compile(r'^  File "[^"\n]*", line (\d+), in (\S+)\n    (.+)$', re.MULTILINE)
_CELL = re.compile(r"Cell In\[(\d+)\], line (\d+)")
_LARGEST = 9
"""Digits of a line number that are read."""
_LONGEST = 2000
"""Characters of an exception and its notes that are shown."""


def in_cell(cell: NotebookNode, trace: str) -> int | None:
    """Return the line of a failed cell, from 1, by the traceback that IPython wrote."""
    number = str(cell.get("execution_count"))
    lines = [line for count, line in _CELL.findall(trace) if count == number]
    return int(lines[-1][:_LARGEST]) if lines else None


def in_notebook(notebook: NotebookNode, trace: str) -> tuple[int, int] | None:
    """Return the innermost cell (from 0) and line (from 1) of a plain Python traceback.

    The files of cells have generated names, so cells are recognized by the line of source in the
    traceback and by the function around it.
    """
    frames = list(_frames(trace))
    for line, function, text in reversed(frames):
        for index in reversed(range(len(notebook.cells))):
            if _holds(notebook.cells[index], line, function, text):
                return index, line
    return None


def ending(trace: str) -> str:
    """Return the exception at the end of a plain Python traceback, with its notes."""
    lines = trace.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if not frames:
        return ""
    after = lines[frames[-1] + 1 :]
    start = next((at for at, line in enumerate(after) if line and line[0] != " "), len(after))
    return "\n".join(after[start:])[:_LONGEST]


def _frames(trace: str) -> Iterator[tuple[int, str, str]]:
    for line, function, text in _FRAME.findall(trace):
        yield int(line[:_LARGEST]), function, text.strip()


def _holds(cell: NotebookNode, line: int, function: str, text: str) -> bool:
    if cell.cell_type != "code":
        return False
    lines = str(cell.source).splitlines()
    if not 0 < line <= len(lines) or lines[line - 1].strip() != text:
        return False
    name = function.rpartition(".")[2]
    return name.startswith("<") or re.search(rf"\bdef {re.escape(name)}\b", cell.source) is not None
