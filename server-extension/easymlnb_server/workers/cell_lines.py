"""Find the notebook cell and the line that a traceback points to."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

_FRAME = re.compile(r'^  File "[^"\n]*", line (\d+), in (\S+)\n    (.+)$', re.MULTILINE)
_CELL = re.compile(r"Cell In\[(\d+)\], line (\d+)")
_MAX_DIGITS = 9
_MAX_MESSAGE = 2000


def line_in_cell(cell: NotebookNode, trace: str) -> int | None:
    """Return the line of a failed cell, from 1, from IPython's traceback."""
    number = str(cell.get("execution_count"))
    lines = [line for count, line in _CELL.findall(trace) if count == number]
    return int(lines[-1][:_MAX_DIGITS]) if lines else None


def locate(notebook: NotebookNode, trace: str) -> tuple[int, int] | None:
    """Return the innermost cell (from 0) and line (from 1) of a plain Python traceback.

    Cells have generated file names. They are identified by the source line in the traceback and
    the function that contains it.
    """
    frames = list(_frames(trace))
    for line, function, text in reversed(frames):
        for index in reversed(range(len(notebook.cells))):
            if _contains(notebook.cells[index], line, function, text):
                return index, line
    return None


def final_exception(trace: str) -> str:
    """Return the exception at the end of a plain Python traceback, with its notes."""
    lines = trace.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if not frames:
        return ""
    after = lines[frames[-1] + 1 :]
    start = next((at for at, line in enumerate(after) if line and line[0] != " "), len(after))
    return "\n".join(after[start:])[:_MAX_MESSAGE]


def _frames(trace: str) -> Iterator[tuple[int, str, str]]:
    for line, function, text in _FRAME.findall(trace):
        yield int(line[:_MAX_DIGITS]), function, text.strip()


def _contains(cell: NotebookNode, line: int, function: str, text: str) -> bool:
    if cell.cell_type != "code":
        return False
    lines = str(cell.source).splitlines()
    if not 0 < line <= len(lines) or lines[line - 1].strip() != text:
        return False
    name = function.rpartition(".")[2]
    return name.startswith("<") or re.search(rf"\bdef {re.escape(name)}\b", cell.source) is not None
